"""The memory of a server by part: what it uses, by its own account, and what its configuration and its data need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pykyro.backup.offline_reader import OfflineReader
from pykyro.cli.diagnosis.finding import Finding, note, ok, wrong
from pykyro.cli.observability import Endpoint, parse_exposition
from pykyro.config import Settings
from pykyro.config.settings.memory import hot_rows, memory_need, metadata_need
from pykyro.memory.budget import CACHES_SHRINK_FROM, mebibytes
from pykyro.model.errors import KyroError
from pykyro.model.types import Document
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.telemetry.catalogue import process
from pykyro.telemetry.process import ProcessProbe

USED: Final = "memory used"
NEEDED: Final = "memory needed"
_SAMPLE: Final = 128
_CURE: Final = "raise memory.limit, or see 'How much memory a machine needs' in docs/operations.md"


def check_used(endpoint: Endpoint) -> Iterator[Finding]:
    """The budget of the running server and who has how much of it. Raises Unavailable when no server answers."""
    status, text = endpoint.get("/metrics")
    if status == 401:
        yield note(USED, f"{endpoint.url}/metrics asks for a key", "put an API key into KYRODB_API_KEY")
        return
    samples = parse_exposition(text)
    parts = samples.labelled(process.MEMORY_PART, "part")
    if not parts:
        yield wrong(
            USED, f"{endpoint.url}/metrics tells no parts of memory", "check that KyroDB listens there"
        )
        return
    used, limit = int(sum(parts.values())), int(samples.get(process.MEMORY_BUDGET))
    said = f"{mebibytes(used)} of {mebibytes(limit)} (memory.limit), {used / limit:.0%}"
    yield note(USED, said, _CURE) if used > CACHES_SHRINK_FROM * limit else ok(USED, said)
    for name, size in sorted(parts.items(), key=lambda part: -part[1]):
        yield ok(USED, f"{name}: {mebibytes(int(size))}")
    refused = samples.labelled(process.MEMORY_REFUSED_TOTAL, "kind")
    if any(refused.values()):
        counts = ", ".join(f"{kind} {count:.0f}" for kind, count in refused.items() if count)
        yield note(USED, f"refused since the start because memory was short: {counts}", _CURE)


def check_needed(settings: Settings, documents: int, directory: Path) -> Iterator[Finding]:
    """The formula of docs/configuration.md for this configuration, and the data in this directory."""
    bound = settings.hnsw.max_elements
    wanted = documents if bound is None else bound
    need = memory_need(settings, wanted)
    try:
        metadata_bytes = hot_metadata_bytes(sample(directory), hot_rows(settings, wanted))
    except (KyroError, OSError) as error:
        # A server may be replacing files while they are read here.
        yield note(NEEDED, f"the metadata could not be looked at: {error}", "try again")
        metadata_bytes = 0
    total = need.total_bytes + metadata_bytes
    limit = settings.memory.limit_bytes(ProcessProbe.memory_limit_bytes())
    said = (
        f"{mebibytes(total)} for {'' if bound is None else 'hnsw.max_elements = '}{wanted} documents, "
        f"of {mebibytes(limit)} (memory.limit)"
    )
    yield note(NEEDED, said, _CURE) if total > CACHES_SHRINK_FROM * limit else ok(NEEDED, said)
    parts = {
        "process": need.process_bytes,
        "graphs": need.graph_bytes,
        "hot tier": need.hot_tier_bytes,
        "metadata of the hot tier": metadata_bytes,
        "document cache": need.document_cache_bytes,
        "query cache": need.query_cache_bytes,
    }
    for name, size in sorted(parts.items(), key=lambda part: -part[1]):
        yield ok(NEEDED, f"{name}: {mebibytes(size)}")


def sample(directory: Path) -> list[Document]:
    """Some documents of all parts of the database, none where there is no database. Raises DataDamaged, OSError."""
    if not (directory / "MANIFEST").exists():
        return []
    return OfflineReader(LocalFileSystem(), directory).some(_SAMPLE)


def hot_metadata_bytes(documents: Sequence[Document], rows: int) -> int:
    """What the metadata of a hot tier of so many documents like these takes: as it was sent, and its index.

    A key or a value that only one of them has is taken for one that each document has for itself.
    """
    if not documents:
        return 0
    times = rows / len(documents)
    keys = Counter(key for document in documents for key in document.metadata)
    values = Counter(entry for document in documents for entry in document.metadata.items())
    text_bytes = sum(len(value) * _count(count, times) for (_, value), count in values.items())
    index_bytes = metadata_need(
        int(sum(_count(count, times) for count in keys.values())),
        int(sum(_count(count, times) for count in values.values())),
        int(times * sum(keys.values())),
        int(text_bytes),
    )
    sent = sum(len(key) + len(value) for document in documents for key, value in document.metadata.items())
    return index_bytes + int(times * sent)


def _count(seen: int, times: float) -> float:
    return times if seen == 1 else 1.0
