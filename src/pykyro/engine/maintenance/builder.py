"""The interface of a builder of cold segments. Where it happens: here and now (below), or see process_builder.py."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pykyro.engine.maintenance.build_protocol import BuildRequest, GraphRequest, MergeRequest
from pykyro.engine.maintenance.segment_builder import build_segment, merge_segments
from pykyro.model.errors import KyroError
from pykyro.model.limits import GRAPH_ROWS_MIN
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import SegmentEntry


class BuildFailed(KyroError):
    """The build process died or refused; the message carries its last words. Nothing is lost: it is tried again."""


class Build(Protocol):
    """A running build."""

    def done(self) -> bool:
        """Whether `result` would not wait."""
        ...

    def result(self) -> SegmentEntry:
        """Wait for it: the segment that was built.

        Raises BuildFailed, DataDamaged, OSError.
        """
        ...

    def cancel(self) -> None:
        """Stop it, if it runs; any thread may. `result` then raises BuildFailed. Its files are not in MANIFEST and
        are removed at the next start."""
        ...


class Builder(Protocol):
    @property
    def merges(self) -> bool:
        """Whether a merge that is started now would have to wait for another."""
        ...

    def start(self, request: BuildRequest) -> Build: ...


def is_small(request: BuildRequest) -> bool:
    """Whether it needs no graph, and so less time than starting a process."""
    if isinstance(request, GraphRequest):
        return request.row_count < GRAPH_ROWS_MIN
    return sum(one.entry.row_count - len(one.dropped) for one in request.job.inputs) < GRAPH_ROWS_MIN


def run_build(filesystem: FileSystem, request: BuildRequest) -> SegmentEntry:
    """Carry out a request in this thread."""
    directory = Path(request.directory)
    if isinstance(request, MergeRequest):
        return merge_segments(filesystem, directory, request.job, request.parameters, request.threads)
    return build_segment(
        filesystem,
        directory,
        request.number,
        request.rows,
        request.row_count,
        request.parameters,
        request.threads,
    )


class InlineBuilder:
    """Builds in the caller's thread, through the caller's file system: for tests and small segments."""

    def __init__(self, filesystem: FileSystem) -> None:
        self._filesystem = filesystem

    @property
    def merges(self) -> bool:
        return False

    def start(self, request: BuildRequest) -> Build:
        return _Finished(run_build(self._filesystem, request))


class _Finished:
    def __init__(self, answer: SegmentEntry) -> None:
        self._answer = answer

    def done(self) -> bool:
        return True

    def result(self) -> SegmentEntry:
        return self._answer

    def cancel(self) -> None:
        pass
