"""Who builds cold segments: this process, or one of its own at low priority that cannot take the server down."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from kyrodb.engine.build_protocol import (
    BuildRequest,
    GraphRequest,
    MergeRequest,
    decode_answer,
    encode_request,
)
from kyrodb.engine.segment_builder import build_segment, merge_segments
from kyrodb.errors import KyroError
from kyrodb.limits import GRAPH_ROWS_MIN
from kyrodb.storage.filesystem import FileSystem
from kyrodb.storage.manifest import SegmentEntry


class BuildFailed(KyroError):
    """The build process died or refused; the message carries its last words. Nothing is lost: it is tried again."""


class Build(Protocol):
    """A build under way."""

    def done(self) -> bool:
        """Whether `result` would not wait."""
        ...

    def result(self) -> SegmentEntry:
        """Wait for it: the segment that was built.

        Raises BuildFailed, DataDamaged, OSError.
        """
        ...

    def cancel(self) -> None:
        """Stop it, if it runs. What it wrote is a stranger's file and is removed at the next start."""
        ...


class Builder(Protocol):
    def start(self, request: BuildRequest) -> Build: ...


def run_build(filesystem: FileSystem, request: BuildRequest) -> SegmentEntry:
    """Do what a request asks for, here and now."""
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

    def start(self, request: BuildRequest) -> Build:
        return _Finished(run_build(self._filesystem, request))


class ProcessBuilder:
    """Builds in a child process; what needs no graph is done here, for a process costs more than that."""

    def __init__(self, filesystem: FileSystem) -> None:
        self._inline = InlineBuilder(filesystem)

    def start(self, request: BuildRequest) -> Build:
        if isinstance(request, GraphRequest) and request.row_count < GRAPH_ROWS_MIN:
            return self._inline.start(request)
        return _Process(request)


class _Finished:
    def __init__(self, answer: SegmentEntry) -> None:
        self._answer = answer

    def done(self) -> bool:
        return True

    def result(self) -> SegmentEntry:
        return self._answer

    def cancel(self) -> None:
        pass


class _Process:
    def __init__(self, request: BuildRequest) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kyrodb.engine.build_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        # A child that died at once is reported by `result`, with its last words. The pipe stays open: its end
        # tells the child that this process is gone.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(encode_request(request) + b"\n")
            self._process.stdin.flush()

    def done(self) -> bool:
        return self._process.poll() is not None

    def result(self) -> SegmentEntry:
        process = self._process
        answer, words = self._outputs()
        if process.returncode != 0:
            last = " ".join(words.decode("utf-8", "replace").split())[-500:]
            raise BuildFailed(f"segment build ended with status {process.returncode}: {last or 'no message'}")
        return decode_answer(answer)

    def cancel(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._outputs()

    def _outputs(self) -> tuple[bytes, bytes]:
        pipe, self._process.stdin = self._process.stdin, None
        try:
            return self._process.communicate()
        finally:
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
