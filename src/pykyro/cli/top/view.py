"""One frame of `kyrodb top`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pykyro.cli.observability import Interval, Reading
from pykyro.telemetry.catalogue import process, requests, searches, storage

_STYLES: Final = {"healthy": "green", "degraded": "yellow", "unhealthy": "bold red", "starting": "cyan"}
_BREAKER: Final = {0: "closed", 1: "[bold red]OPEN[/]", 2: "[yellow]half-open[/]"}
_RPC_ROWS: Final = 8


def frame(before: Reading, now: Reading) -> RenderableType:
    """The view of what happened between two readings."""
    interval = Interval(before, now)
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(_requests(interval), _latency(interval))
    grid.add_row(_search(interval), _documents(interval))
    grid.add_row(_log(interval), _objectives(now))
    return Group(_header(now), grid)


def _header(now: Reading) -> Text:
    status = str(now.health.get("status", "unknown"))
    line = Text.assemble(
        ("KyroDB ", "bold"),
        now.samples.label(process.BUILD_INFO, "version"),
        f"  {now.url}  up {_duration(now.samples.get(process.UPTIME))}  ",
        (status, _STYLES.get(status, "red")),
    )
    if not now.samples.get(requests.READY):
        line.append("  not ready", "bold red")
    if reason := now.health.get("reason"):
        line.append(f"\n{reason}", "yellow")
    return line


def _requests(interval: Interval) -> Panel:
    table = Table(box=None, expand=True)
    for title in ("call", "/s", "p99"):
        table.add_column(title, justify="left" if title == "call" else "right")
    rates = sorted(interval.rates(requests.GRPC_REQUESTS_TOTAL, "rpc").items(), key=lambda pair: -pair[1])
    for rpc, rate in rates[:_RPC_ROWS]:
        p99_s = interval.quantile_s(requests.GRPC_REQUEST_DURATION, 0.99, rpc=rpc)
        table.add_row(rpc, _figure(rate), _seconds(p99_s))
    errors = interval.rates(requests.ERRORS_TOTAL, "category")
    table.add_row("errors", _figure(sum(errors.values())), "", style="red" if any(errors.values()) else "")
    return Panel(table, title="requests")


def _latency(interval: Interval) -> Panel:
    samples = interval.now.samples
    rows = [
        (f"query p{percent}, 5 min", _seconds(samples.get(requests.QUERY_LATENCY, percentile=percent) / 1e9))
        for percent in ("50", "95", "99")
    ]
    rows.append(("search p99, 5 min", _seconds(samples.get(searches.HNSW_LATENCY) / 1e9)))
    for queue in ("search", "lookup", "commit"):
        waited_s = interval.quantile_s(requests.QUEUE_WAIT, 0.99, queue=queue)
        rows.append((f"wait for {queue}, p99", _seconds(waited_s)))
    rows.append(("in flight", _figure(samples.get(requests.ACTIVE_CONNECTIONS))))
    return _pairs("latency", rows)


def _search(interval: Interval) -> Panel:
    samples = interval.now.samples
    paths = interval.rates(searches.SEARCH_DURATION, "path")
    rows = [(f"searches: {path.replace('_', ' ')}", f"{_figure(rate)}/s") for path, rate in paths.items()]
    rows += [
        ("cache hit rate, 5 min", f"{100 * samples.get(requests.CACHE_HIT_RATE_5M):.1f} %"),
        (
            "cache",
            f"{_figure(samples.get(searches.CACHE_SIZE))} answers, {_bytes(samples.get(searches.CACHE_BYTES))}",
        ),
        ("evictions", f"{_figure(interval.rate(searches.CACHE_EVICTIONS_TOTAL))}/s"),
    ]
    return _pairs("search and cache", rows)


def _documents(interval: Interval) -> Panel:
    samples = interval.now.samples
    return _pairs(
        "documents",
        [
            ("live", _figure(samples.get(storage.DOCUMENTS))),
            ("hot tier", _figure(samples.get(storage.TIER_DOCUMENTS, tier="hot"))),
            ("cold tier", _figure(samples.get(storage.TIER_DOCUMENTS, tier="cold"))),
            ("segments", _figure(samples.get(storage.SEGMENTS))),
            ("dead rows", _figure(samples.get(storage.DEAD_ROWS))),
            ("inserts", f"{_figure(interval.rate(requests.INSERTS_TOTAL))}/s"),
            ("refused", f"{_figure(interval.rate(requests.INSERTS_FAILED))}/s"),
            (
                "seals, merges",
                f"{samples.get(storage.HOT_TIER_FLUSHES_TOTAL):.0f}, {samples.get(storage.MERGES_TOTAL):.0f}",
            ),
        ],
    )


def _log(interval: Interval) -> Panel:
    samples = interval.now.samples
    bytes_per_s = interval.rate(storage.WAL_BYTES_TOTAL)
    syncs_per_s = interval.rate(storage.WAL_SYNCS_TOTAL)
    behind = samples.get(storage.WAL_POSITION) - samples.get(storage.WAL_SEALED_POSITION)
    memory = f"{_bytes(samples.get(process.MEMORY_USED))} of {_bytes(samples.get(process.MEMORY_LIMIT))}"
    return _pairs(
        "log, disk, memory",
        [
            ("breaker", _BREAKER.get(int(samples.get(storage.WAL_CIRCUIT_BREAKER_STATE)), "unknown")),
            ("writes", "[bold red]refused[/]" if samples.get(storage.WRITES_REFUSED) else "accepted"),
            ("log", f"{_bytes(bytes_per_s)}/s, {_figure(syncs_per_s)} syncs/s"),
            ("sync, p99", _seconds(interval.quantile_s(storage.WAL_SYNC_DURATION, 0.99))),
            ("not sealed yet", f"{_figure(behind)} writes"),
            ("not on disk yet", f"{_figure(samples.get(storage.WAL_UNSYNCED_FRAMES))} writes"),
            ("disk free", _bytes(samples.get(storage.DISK_FREE))),
            ("memory", memory),
        ],
    )


def _objectives(now: Reading) -> Panel:
    table = Table(box=None, expand=True)
    for title in ("objective", "now", "wanted", ""):
        table.add_column(title, justify="left" if title == "objective" else "right")
    current, wanted = now.slo.get("current_metrics", {}), now.slo.get("slo_thresholds", {})
    rows = (
        (
            "p99_latency",
            _seconds(current.get("p99_latency_ns", 0) / 1e9),
            _seconds(wanted.get("p99_latency_ns", 0) / 1e9),
        ),
        (
            "cache_hit_rate",
            _share(current.get("cache_hit_rate")),
            _share(wanted.get("min_cache_hit_rate") or None),
        ),
        ("error_rate", _share(current.get("error_rate")), _share(wanted.get("max_error_rate"))),
        ("availability", _share(current.get("availability")), _share(wanted.get("min_availability"))),
    )
    breaches = now.slo.get("slo_breaches", {})
    for name, value, bound in rows:
        missed = bool(breaches.get(name))
        table.add_row(name, value, bound, "missed" if missed else "", style="bold red" if missed else "")
    return Panel(table, title="objectives, last 5 minutes")


def _pairs(title: str, rows: Sequence[tuple[str, str]]) -> Panel:
    table = Table(box=None, expand=True, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(name, value)
    return Panel(table, title=title)


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"


def _seconds(duration_s: float) -> str:
    if math.isnan(duration_s) or not duration_s:
        return "-"
    if math.isinf(duration_s):
        return "> 10 s"
    return f"{duration_s:.2f} s" if duration_s >= 1 else f"{duration_s * 1000:.2f} ms"


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (
        f"{days}d {hours:02d}:{minutes:02d}:{rest:02d}" if days else f"{hours:02d}:{minutes:02d}:{rest:02d}"
    )
