"""The output of kyrodb_backup: results on stdout; warnings, errors and progress on stderr.

Tables and progress bars come from rich, which is in the cli-tools extra; progress bars only on a terminal.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.backup.history.catalog import Catalog, summary
from pykyro.backup.history.timeline import RestorePlan, instant
from pykyro.backup.restore import RestoreReport
from pykyro.model.errors import causes

_UNITS: Final = ("B", "KB", "MB", "GB", "TB")


def error(failure: BaseException) -> None:
    """The failure and its causes."""
    print(f"Error: {failure}", file=sys.stderr)
    for cause in causes(failure):
        print(f"Caused by: {cause}", file=sys.stderr)


def warn(text: str) -> None:
    print(f"Warning: {text}", file=sys.stderr)


def has_tables() -> bool:
    """Whether the cli-tools extra is installed."""
    return importlib.util.find_spec("rich") is not None


def print_json(catalog: Catalog, clock_faults: Mapping[str, str]) -> None:
    """`clock_faults` are the faults in the times of backups, by id."""
    found = [
        summary(entry)
        | {"clock_fault": clock_faults.get(entry.id), "cannot_restore": catalog.fault(entry) or None}
        for entry in catalog.entries
    ]
    print(json.dumps(found, indent=2))


def print_table(catalog: Catalog) -> None:
    if not catalog.entries:
        print("No backups found")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("Backup ID", "Type", "Created", "Size", "Vectors", "Description")
    for entry in catalog.entries:
        record = entry.record
        broken = f" (cannot be restored: {catalog.fault(entry)})" if catalog.fault(entry) else ""
        table.add_row(
            record.id,
            record.backup_type,
            instant(record.created_us).removesuffix(" UTC"),
            size_text(entry.size_bytes),
            str(record.documents),
            Text("".join(c if c.isprintable() else "\ufffd" for c in record.description) + broken),
        )
    # Without a terminal as wide as the content, so that scripts see whole lines.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def print_restore(report: RestoreReport, plan: RestorePlan, data_dir: Path) -> None:
    """The preview of a restore."""
    print(f"\nWould restore position {report.lsn} of history {plan.latest.history}")
    print(f"From: {', '.join(report.archives)}")
    print(f"Size: {report.size_bytes} bytes")
    print(f"Into: {data_dir}")
    if report.replaced:
        print(f"Would delete {len(report.replaced)} files or directories there:")
        for name in report.replaced:
            print(f"  - {name}")


def size_text(size_bytes: int) -> str:
    """As 1.50 MB; units of 1024."""
    value, unit = float(size_bytes), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.2f} {_UNITS[unit]}"


@dataclass(slots=True)
class Progress:
    """Where a long piece of work is: `step` adds bytes, `reach` says how many are done of how many."""

    update: Callable[[int, int], None]
    total_bytes: int
    done_bytes: int = 0

    def step(self, size_bytes: int) -> None:
        self.reach(self.done_bytes + size_bytes, self.total_bytes)

    def reach(self, done_bytes: int, total_bytes: int) -> None:
        self.done_bytes, self.total_bytes = done_bytes, total_bytes
        self.update(done_bytes, total_bytes)


@contextlib.contextmanager
def progress(doing: str, total_bytes: int = 0, *, counts: str = "bytes") -> Iterator[Progress]:
    """A bar on stderr, if that is a terminal and there is rich. The unit need not be bytes."""
    if not sys.stderr.isatty() or not has_tables():
        yield Progress(lambda done, total: None, total_bytes)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    amounts: tuple[ProgressColumn, ...] = (DownloadColumn(), TransferSpeedColumn())
    if counts != "bytes":
        amounts = (MofNCompleteColumn(), TextColumn(counts))
    columns = (TextColumn(doing), BarColumn(), *amounts, TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total_bytes or None)
        yield Progress(lambda done, total: bar.update(task, completed=done, total=total or None), total_bytes)
