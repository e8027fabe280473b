"""kyrodb_load_tester: searches a server at a fixed rate and says how long its clients waited.

The flags are those of the existing KyroDB, and more: keys, TLS, a collection of its own, writes, recall.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pykyro.cli.command import integer, print_error, run
from pykyro.cli.connection import add_connection_options, connected, connection_of
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import DIMENSION_MAX
from pykyro.version import __version__

if TYPE_CHECKING:
    from pykyro.cli.load.open_loop import Outcome
    from pykyro.model.types import Matrix

_PERCENTILES: Final = (50, 95, 99)
_WARM_UP: Final = 100
"""Searches before the load begins, in a second."""
_QUERIES_MAX: Final = 100_000
"""Distinct queries that are made ready before the load begins."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0, 1 when too many calls failed or none succeeded, 2 for wrong usage."""
    return run(lambda: _run(_parser().parse_args(arguments)), print_error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kyrodb_load_tester", description=__doc__, allow_abbrev=False)
    parser.add_argument("-V", "--version", action="version", version=f"kyrodb_load_tester {__version__}")
    parser.add_argument(
        "--server",
        default="http://127.0.0.1:50051",
        metavar="URL",
        help="the server; https:// is TLS (default: %(default)s)",
    )
    _numbers(parser)
    parser.add_argument(
        "--collection",
        default="default",
        metavar="NAME",
        help="the collection to load; made, if there is none, and dropped by nobody (default: %(default)s)",
    )
    parser.add_argument("--no-seed", action="store_true", help="store nothing before: search what is there")
    parser.add_argument(
        "--queries",
        choices=("stored", "near"),
        default="stored",
        help="search for the stored vectors, most of them cached after a while, or near them and for none "
        "twice (default: %(default)s)",
    )
    parser.add_argument(
        "--write-ratio",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="share of the calls that are writes, each of a document by itself (default: %(default)s)",
    )
    parser.add_argument("--recall", action="store_true", help="also say the recall of the first 200 answers")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="of the result (default: text)"
    )
    add_connection_options(parser.add_argument_group("how to reach the server"))
    return parser


def _numbers(parser: argparse.ArgumentParser) -> None:
    for name, kind, default, text in (
        ("qps", _above_0, 1000.0, "calls a second"),
        ("duration", _above_0, 30.0, "seconds"),
        ("concurrency", integer(1, 10_000), 32, "callers, of which each waits for its answer"),
        ("dataset", integer(1, 10_000_000), 2048, "documents"),
        ("dimension", integer(1, DIMENSION_MAX), 384, "elements of a vector"),
        ("request-timeout-ms", _above_0, 5000.0, "milliseconds a call may take"),
        ("max-failure-ratio", _share, 1.0, "exit code 1 when a larger share of the calls fails"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=default, metavar="N", help=f"{text} (default: %(default)g)"
        )


def _above_0(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return number


def _run(options: argparse.Namespace) -> int:
    from pykyro.cli.load.dataset import MARK, queries, recall, seed, vectors
    from pykyro.model.types import Metric

    options.url, options.tls = _target(options.server, options.tls)
    stored = vectors(options.dataset, options.dimension)
    calls = int(options.qps * options.duration) + 1
    wanted = queries(stored, options.queries, min(max(calls, len(stored)), _QUERIES_MAX))
    with connected(options) as client:
        if options.collection != "default":
            client.create_collection(options.collection, options.dimension, exist_ok=True)
        documents = client.collection(options.collection)
        metric = Metric(documents.stats().distance)
        if not options.no_seed:
            seed(documents, stored)
        elif options.recall and documents.count(filter={MARK: {"$exists": True}}) != len(stored):
            raise InvalidArgument("--recall needs the seeded documents: leave --no-seed out", field="recall")
    outcome, answers = asyncio.run(_load(options, stored, wanted))
    found = recall(stored, wanted, answers, metric) if options.recall else None
    _show(_figures(outcome, found), options.format)
    return 0 if outcome.latencies_s and outcome.failure_ratio <= options.max_failure_ratio else 1


def _target(server: str, tls: bool) -> tuple[str, bool]:
    scheme, separator, rest = server.partition("://")
    if not separator:
        return server, tls
    if scheme not in ("http", "https"):
        raise InvalidArgument(f"--server must begin with http:// or https://, got {server!r}", field="server")
    return rest.rstrip("/"), tls or scheme == "https"


async def _load(
    options: argparse.Namespace, stored: Matrix, wanted: Matrix
) -> tuple[Outcome, list[tuple[int, list[int]]]]:
    """What became of the load, and some answers: the number of a query, and the ids that were found."""
    from pykyro.cli.load.calls import Calls
    from pykyro.cli.load.open_loop import offer
    from pykyro.client.async_client import open_channel
    from pykyro.client.channel import callables

    connection = connection_of(options)
    async with open_channel(connection) as channel:
        calls = Calls(
            callables(channel),
            stored,
            wanted,
            collection=options.collection,
            timeout_s=options.request_timeout_ms / 1000,
            metadata=connection.metadata,
        )
        warm_up = await offer(calls.search, per_s=_WARM_UP, duration_s=1.0, callers=options.concurrency)
        calls.answers.clear()
        if not warm_up.latencies_s:
            return warm_up, []
        outcome = await offer(
            calls.mixed(options.write_ratio),
            per_s=options.qps,
            duration_s=options.duration,
            callers=options.concurrency,
        )
    return outcome, calls.answers


def _figures(outcome: Outcome, recall: float | None) -> dict[str, Any]:
    import numpy as np

    latencies_ms = 1000 * np.array(outcome.latencies_s)
    of_latencies = np.percentile(latencies_ms, _PERCENTILES).tolist() if outcome.latencies_s else []
    figures: dict[str, Any] = {
        "successes": len(outcome.latencies_s),
        "failures": dict(outcome.failures.most_common()),
        "failure_ratio": round(outcome.failure_ratio, 6),
        "offered_qps": outcome.offered_per_s,
        "achieved_qps": round(outcome.achieved_per_s, 1),
    }
    for percentile, latency_ms in zip(_PERCENTILES, of_latencies, strict=False):
        figures[f"p{percentile}_ms"] = round(latency_ms, 3)
    figures["latest_start_ms"] = round(1000 * outcome.late_s, 3)
    if recall is not None:
        figures["recall_at_10"] = round(recall, 4)
    return figures


def _show(figures: Mapping[str, Any], form: str) -> None:
    if form == "json":
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{code} {count}" for code, count in value.items()) or 0
        print(f"{name.replace('_', ' ')}: {value}")
    if figures["achieved_qps"] < 0.95 * figures["offered_qps"]:
        print(
            "less was achieved than was offered, so latencies grow for as long as the load goes on: "
            "offer less, or more callers"
        )


if __name__ == "__main__":
    sys.exit(main())
