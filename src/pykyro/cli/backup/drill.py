"""kyrodb drill: restore the newest backup into a scratch directory, search it, and compare it with a live server.

The restore is practised before it is needed. For cron: it prints its findings, and exits with 1 when the backup does
not restore to the state it records. Later changes on the live server are reported and are not a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pykyro.backup.history.catalog import CatalogEntry, read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.offline_reader import OfflineReader
from pykyro.backup.restore import restore
from pykyro.backup.target.locate import open_target
from pykyro.backup.target.scratch import scratch_directory
from pykyro.backup.verify import check_recovery
from pykyro.cli.command import API_KEY_VARIABLE
from pykyro.config.place import URL_FORMS
from pykyro.model.distance import scores, similarities
from pykyro.model.errors import DataDamaged, FailedPrecondition
from pykyro.model.limits import COUNT_MAX
from pykyro.model.types import Document, Scope
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


@dataclass(slots=True)
class DrillReport:
    """Times in seconds. The last four are None without a server: the documents there, and the state of the sample."""

    backup_id: str
    age_s: float
    position: int
    restore_s: float
    open_s: float
    documents: int
    sampled: int
    live_documents: int | None = None
    unchanged: int | None = None
    changed: int | None = None
    gone: int | None = None

    def lines(self) -> list[str]:
        """For people."""
        found = [
            f"Backup {self.backup_id}: {_age(self.age_s)}, position {self.position}",
            f"Restored in {self.restore_s:.2f} s, opened in {self.open_s:.2f} s",
            f"Documents: {self.documents}, as the backup states; {self.sampled} of them were searched for and found",
        ]
        if self.live_documents is not None:
            found.append(
                f"Live server: {self.live_documents} documents; of the sample {self.unchanged} are the same "
                f"there, {self.changed} have changed, {self.gone} were deleted"
            )
        return found


def _age(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f} h old" if hours >= 0 else f"dated {-hours:.1f} h in the future"


def add_command(commands: Commands) -> None:
    """Add `drill`."""
    text = "restore the newest backup into a scratch directory, open it, search it, and compare it with a live server"
    parser = commands.add_parser("drill", help=text, description=text, allow_abbrev=False)
    parser.add_argument(
        "--backup-dir",
        default="backups",
        metavar="DIR",
        help=f"directory of backups, or {URL_FORMS} (default: ./backups)",
    )
    parser.add_argument(
        "--scratch-dir",
        type=Path,
        metavar="DIR",
        help="scratch directory for the restore (default: the system's)",
    )
    parser.add_argument(
        "--samples",
        type=_positive,
        default=50,
        metavar="N",
        help="number of documents to search for (default: %(default)s)",
    )
    parser.add_argument(
        "--server",
        metavar="HOST:PORT",
        help=f"the live server to compare with; the environment variable {API_KEY_VARIABLE} holds the key to use "
        f"there",
    )
    parser.add_argument("--tenant", metavar="ID", help="the tenant of that key")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="output format (default: %(default)s)"
    )
    parser.set_defaults(run=_run, needs={"--tenant": "--server"})


def _run(options: argparse.Namespace) -> None:
    with scratch_directory(options.scratch_dir) as scratch:
        report = _drill(options, scratch / "data")
    print(json.dumps(asdict(report), indent=2) if options.format == "json" else "\n".join(report.lines()))


def _drill(options: argparse.Namespace, place: Path) -> DrillReport:
    filesystem, clock = LocalFileSystem(), SystemClock()
    target = open_target(options.backup_dir)
    catalog = read_catalog(target)
    if not catalog.restorable():
        raise FailedPrecondition(f"no backup in {target.location} can be restored")
    entry = catalog.restorable()[0]
    began_s = clock.monotonic_s()
    restore(filesystem, place, Store(target), plan_backup(catalog, entry.id), clock, allow_clear=False)
    restored_s = clock.monotonic_s()
    check = check_recovery(filesystem, place)
    if check.documents != entry.record.documents:
        raise DataDamaged(
            f"the restored database holds {check.documents} documents; the backup states {entry.record.documents}",
            path=place,
        )
    reader = OfflineReader(filesystem, place)
    sample = reader.some(options.samples)
    report = DrillReport(
        backup_id=entry.id,
        age_s=clock.wall_us() / 1e6 - entry.record.created_us / 1e6,
        position=entry.record.position.lsn,
        restore_s=restored_s - began_s,
        open_s=_question(entry, place, sample),
        documents=check.documents,
        sampled=len(sample),
    )
    if options.server is not None:
        _compare(options, report, sample, reader.manifest.tenants)
    return report


def _question(entry: CatalogEntry, place: Path, sample: Sequence[Document]) -> float:
    """Open the restored database as the server would, and search for each document; seconds to open.

    Raises DataDamaged when it does not hold the documents of the backup.
    """
    from pykyro.engine.engine import open_engine
    from pykyro.engine.options import EngineOptions
    from pykyro.model.requests import SearchRequest

    record = entry.record
    began_s = time.monotonic()
    engine = open_engine(
        place,
        EngineOptions(record.dimension, record.metric, documents_max=COUNT_MAX, background=False),
    )
    open_s = time.monotonic() - began_s
    try:
        documents = engine.stats().documents
        if documents != record.documents:
            raise DataDamaged(
                f"the restored database holds {documents} documents; the backup states {record.documents}",
                path=place,
            )
        for document in sample:
            own = similarities(document.vector[None, :], document.vector, record.metric)
            scope = Scope(document.tenant)
            hits = engine.search(SearchRequest(document.vector, 1, scope=scope, exact=True)).hits
            # Nothing is nearer to a vector than itself; by inner product another one may be, and is then found.
            if not hits or hits[0].score < float(scores(own, record.metric)[0]):
                raise DataDamaged(f"a search does not find document {document.doc_id}", path=place)
    finally:
        engine.close()
    return open_s


def _compare(
    options: argparse.Namespace, report: DrillReport, sample: Sequence[Document], tenants: dict[str, int]
) -> None:
    """Compare the sampled documents with the live server."""
    from pykyro.client.sync_client import Client

    api_key = os.environ.get(API_KEY_VARIABLE)
    # Without a key a server shows only documents of no tenant.
    if (tenants and api_key and not options.tenant) or (options.tenant and options.tenant not in tenants):
        raise FailedPrecondition(
            f"--tenant must be one of the database's tenants to compare with the server, is {options.tenant!r}"
        )
    tenant = tenants[options.tenant] if options.tenant else None
    sample = [document for document in sample if document.tenant == tenant]
    ids = [document.own_id for document in sample]
    with Client(options.server, api_key=api_key) as client:
        report.live_documents = client.stats().documents
        live = client.get_many(ids)
    same = [
        found is not None and found.vector is not None and found.vector.tobytes() == document.vector.tobytes()
        for found, document in zip(live, sample, strict=True)
    ]
    report.gone = sum(found is None for found in live)
    report.unchanged = sum(same)
    report.changed = len(sample) - report.gone - report.unchanged


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} must be 1 to 10000")
    return value
