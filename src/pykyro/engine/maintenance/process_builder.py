"""Builds in a process of its own, and in this one where there is no Python to start.

    start    an isolated interpreter (isolated_python.py), which greets once it has all it needs
    ask      one request; the answer, and last words if it fails
    instead  in a thread of this process, at the lowest priority, when no interpreter could be started

However many engines are open, one process builds for seals and one for merges; the others wait. A seal must not wait
for a merge, which may take many minutes while writers wait for the room that the seal makes.

A process that was started and failed (killed for want of memory, say) is not replaced by a build in here, which could
meet the same fate and take everybody with it: BuildFailed, and maintenance tries again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Final

from pykyro.engine.maintenance.build_protocol import (
    GREETING,
    BuildRequest,
    MergeRequest,
    decode_answer,
    encode_request,
)
from pykyro.engine.maintenance.builder import Build, BuildFailed, InlineBuilder, is_small, run_build
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import SegmentEntry
from pykyro.system.descriptors import reserve_standard_descriptors
from pykyro.system.isolated_python import ANY_DIRECTORY, isolated_command

_log: Final = logging.getLogger(__name__)

WORKER: Final = "pykyro.engine.maintenance.build_worker"
START_S: Final = 30.0
"""Time a process has to greet; it takes half a second."""
_TRY_AGAIN_S: Final = 600.0
"""After an interpreter that started and did not greet."""
_KILLED_MAX: Final = 3
"""Processes in a row, killed before they greeted, after which graphs are built here."""
_CANCEL_S: Final = 10.0
"""How long to wait for a build of this process that is given up; nobody can stop it."""
_WORDS_CHARS: Final = 500


class _NotStarted(Exception):
    """No build process came up; the message says why. `lasting`: trying at once again would be no use. `killed`: by
    somebody, or by the system for want of memory."""

    def __init__(self, reason: str = "", *, lasting: bool = False, killed: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting
        self.killed = killed


class _Turns:
    """One build at a time; the others wait for their turn."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self.taken = False

    def take(self, given_up: Callable[[], bool]) -> bool:
        """Wait for a turn; False when it was given up before."""
        with self._changed:
            self._changed.wait_for(lambda: given_up() or not self.taken)
            if given_up():
                return False
            self.taken = True
            return True

    def look(self) -> None:
        """Somebody has given up."""
        with self._changed:
            self._changed.notify_all()

    def give_back(self) -> None:
        with self._changed:
            self.taken = False
            self._changed.notify_all()


_SEALS: Final = _Turns()
_MERGES: Final = _Turns()


class ProcessBuilder:
    """Builds graphs in a child process; a segment without a graph is built here, since a process costs more."""

    def __init__(self, filesystem: FileSystem) -> None:
        self._filesystem = filesystem
        self._inline = InlineBuilder(filesystem)
        self._not_before_s = 0.0
        self._told = ""
        self.killed = 0
        """Processes in a row that were killed before they greeted."""

    @property
    def merges(self) -> bool:
        return _MERGES.taken

    def start(self, request: BuildRequest) -> Build:
        if is_small(request):
            return self._inline.start(request)
        return _Background(request, self)

    def launch(self) -> _Child | None:
        """A process that has yet to greet, or None where this process has to do it."""
        if time.monotonic() < self._not_before_s:
            return None
        try:
            return _Child()
        except _NotStarted as error:
            self.not_started(error)
            return None

    def tries_again(self) -> bool:
        """Whether a process that was killed at its start is no reason yet to build here: where memory is short, that
        would have this process killed."""
        self.killed += 1
        return self.killed < _KILLED_MAX

    def not_started(self, error: _NotStarted) -> None:
        """Say so, once for each reason."""
        if error.lasting:
            self._not_before_s = time.monotonic() + _TRY_AGAIN_S
        if str(error) != self._told:
            self._told = str(error)
            _log.warning(
                "graphs are built in this process, which slows down searches: no build process could be started: %s",
                error,
            )

    def build_here(self, request: BuildRequest) -> SegmentEntry:
        """In the caller's thread, which is slow from now on."""
        _take_lowest_priority()
        return run_build(self._filesystem, request)


class _Background:
    """A build in a thread, which waits for a process or does the work."""

    def __init__(self, request: BuildRequest, builder: ProcessBuilder) -> None:
        self._request = request
        self._builder = builder
        self._turns = _MERGES if isinstance(request, MergeRequest) else _SEALS
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._given_up = False
        self._answer: SegmentEntry | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kyrodb-build", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # No thread to be had now; then it takes as long as it takes.
            self._run()

    def done(self) -> bool:
        return self._ended.is_set()

    def result(self) -> SegmentEntry:
        self._ended.wait()
        if self._given_up:
            raise BuildFailed("the build was cancelled")
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    def cancel(self) -> None:
        with self._lock:
            self._given_up = True
            child = self._child
        self._turns.look()
        if child is not None:
            child.kill()
        self._ended.wait(_CANCEL_S)
        self._ended.set()

    def _run(self) -> None:
        took_turn = self._turns.take(lambda: self._given_up)
        try:
            if not took_turn:
                raise BuildFailed("the build was cancelled")
            self._answer = self._built()
        except BaseException as error:
            self._error = error
        finally:
            if took_turn:
                self._turns.give_back()
            self._ended.set()

    def _built(self) -> SegmentEntry:
        child = self._builder.launch()
        with self._lock:
            self._child = child
            if child is not None and self._given_up:
                child.kill()
        if child is not None and self._has_greeted(child):
            return child.ask(self._request)
        if self._given_up:
            raise BuildFailed("the build was cancelled")
        return self._builder.build_here(self._request)

    def _has_greeted(self, child: _Child) -> bool:
        try:
            child.await_greeting()
        except _NotStarted as error:
            if error.killed and self._builder.tries_again():
                raise BuildFailed(str(error)) from error
            if not self._given_up:
                self._builder.not_started(error)
            return False
        self._builder.killed = 0
        return True


class _Child:
    """A build process."""

    def __init__(self) -> None:
        """Raises _NotStarted."""
        # A pipe in place of a closed standard stream would get what the program prints.
        reserve_standard_descriptors()
        try:
            # Its own process group: an interrupt typed at the terminal is for this process to deal with.
            self._process = subprocess.Popen(  # noqa: S603  # our own module, no argument of a caller
                isolated_command(WORKER),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ANY_DIRECTORY,
                process_group=0,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise _NotStarted(str(error)) from error

    def await_greeting(self) -> None:
        """Raises _NotStarted when it does not come, or something else does; then the process is gone."""
        met = self._first_line()
        if met == GREETING:
            return
        if met is not None and len(met) < len(GREETING):
            # Its output has ended, and so will it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CANCEL_S)
        ended = self._process.returncode
        self.kill()
        _, words = self._outputs()
        if met is None:
            reason = f"had not started after {START_S:.0f} s"
        elif ended is None:
            reason = f"is not a Python that can build: it printed {_last(met)!r}"
        else:
            reason = f"{_ending(ended)} before it had started: {_last(met + words)}"
        raise _NotStarted(f"{self._path} {reason}", lasting=True, killed=ended == -signal.SIGKILL)

    def ask(self, request: BuildRequest) -> SegmentEntry:
        """Have it build. Raises BuildFailed."""
        assert self._process.stdin is not None
        # A child that died is reported below, with its last words. The pipe stays open: its end tells the child
        # that this process is gone.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(encode_request(request) + b"\n")
            self._process.stdin.flush()
        answer, words = self._outputs()
        if self._process.returncode != 0:
            raise BuildFailed(f"segment build {_ending(self._process.returncode)}: {_last(words)}")
        try:
            return decode_answer(answer)
        except (ValueError, KeyError) as error:
            raise BuildFailed(f"the segment build sent an answer that cannot be read: {error}") from error

    def kill(self) -> None:
        """From any thread; `ask` then fails. All of its group, for a wrapper may have started the Python."""
        # Its number cannot be another's yet: who waits for it is in `_outputs`, behind the last word of the group.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def _path(self) -> str:
        assert isinstance(self._process.args, list)
        return str(self._process.args[0])

    def _first_line(self) -> bytes | None:
        """Its first output, up to the length of a greeting; None when it takes too long."""
        assert self._process.stdout is not None
        fd, met, until_s = self._process.stdout.fileno(), b"", time.monotonic() + START_S
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            while len(met) < len(GREETING):
                if not selector.select(max(0.0, until_s - time.monotonic())):
                    return None
                piece = os.read(fd, len(GREETING) - len(met))
                if not piece:
                    break
                met += piece
        return met

    def _outputs(self) -> tuple[bytes, bytes]:
        pipe, self._process.stdin = self._process.stdin, None
        try:
            return self._process.communicate()
        finally:
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by signal {-status} (signal 9 that no user sent means that memory ran out)"
    return f"ended with status {status}"


def _last(words: bytes) -> str:
    return " ".join(words.decode("utf-8", "replace").split())[-_WORDS_CHARS:] or "no message"


def _take_lowest_priority() -> None:
    """Of this thread alone, where the system knows such a thing."""
    thread = threading.get_native_id()
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, thread, 19)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
