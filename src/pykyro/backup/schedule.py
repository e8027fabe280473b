"""Backups that the server takes by itself, one after another, each in a process of its own (scheduled_run.py)."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from pykyro.backup.history.retention import Retention
from pykyro.backup.scheduled_run import LookReport, RunReport, RunRequest, encode_request
from pykyro.backup.target.locate import is_url
from pykyro.system.clock import Clock
from pykyro.system.isolated_python import ANY_DIRECTORY, isolated_command

_log = logging.getLogger(__name__)

RETRY_S: Final = 300.0
"""After a failure the next try comes this soon, or at the interval if that is shorter."""
STOP_S: Final = 5.0
"""Time that a cancelled backup has to release its lock; in an object store no other process removes it."""
FULL_AFTER_DAYS: Final = 7.0
"""No chain rests on an older full backup than this."""
_WORDS_BYTES: Final = 500

Report = TypeVar("Report", bound=BaseModel)


class BackupSchedule:
    """Incremental backups every `interval_s`, a full one each week. Its results are plain attributes, for metrics:

    `last_success_s` is the Unix time of the newest good backup, 0 for none, whoever made it; `last_size_bytes`,
    `last_documents` and `last_duration_s` are of the last one this schedule made; `made` and `failures` count since
    the start; `last_failure` says why the last one failed, "" after a success; `running` is True during a backup.
    """

    def __init__(
        self,
        data_dir: Path,
        backup_dir: str,
        interval_s: float,
        retention: Retention | None,
        clock: Clock,
    ) -> None:
        """`backup_dir` is a directory or a URL of an object store; `retention` None prunes nothing."""
        self._request = RunRequest(
            data_dir=data_dir.absolute(),
            backup_dir=backup_dir if is_url(backup_dir) else str(Path(backup_dir).absolute()),
            full_after_days=FULL_AFTER_DAYS,
            retention=retention,
        )
        self._interval_s = interval_s
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kyrodb-backups", daemon=True)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.last_success_s = 0.0
        self.last_size_bytes = 0
        self.last_documents = 0
        self.last_duration_s = 0.0
        self.made = 0
        self.failures = 0
        self.last_failure = ""

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Begin, in a thread of its own. The first is due once the newest backup has reached the interval."""
        self._thread.start()

    def stop(self) -> None:
        """End; a backup under way is given up. Returns when nothing of it runs any more."""
        self._stop.set()
        with self._lock:
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join()

    def step(self) -> bool:
        """Make one backup now; whether it succeeded. For the thread, and for tests."""
        started_s = self._clock.monotonic_s()
        try:
            report = self._ask_process("create", RunReport)
        except Exception as error:  # of any kind: the next may succeed
            if not self._stop.is_set():
                self.failures += 1
                self.last_failure = str(error)
                _log.error("scheduled backup failed: %s", error)
            return False
        self.made += 1
        self.last_failure = ""
        self.last_success_s = self._clock.wall_us() / 1e6
        self.last_duration_s = self._clock.monotonic_s() - started_s
        self.last_size_bytes, self.last_documents = report.size_bytes, report.documents
        for text in report.warnings:
            _log.warning("scheduled backup %s: %s", report.backup_id, text)
        _log.info(
            "scheduled backup %s: %d bytes, %d documents, %.1f s, %d pruned",
            report.backup_id,
            report.size_bytes,
            report.documents,
            self.last_duration_s,
            len(report.pruned),
        )
        return True

    def _run(self) -> None:
        wait_s = self._first_wait_s()
        while not self._stop.wait(wait_s):
            began_s = self._clock.monotonic_s()
            if self.step():
                wait_s = max(0.0, self._interval_s - (self._clock.monotonic_s() - began_s))
            else:
                wait_s = min(RETRY_S, self._interval_s)

    def _first_wait_s(self) -> float:
        """Until the newest backup there is has reached the interval."""
        try:
            newest_us = self._ask_process("look", LookReport).newest_us
        except Exception as error:
            if not self._stop.is_set():
                _log.warning("the backups in %s cannot be listed: %s", self._request.backup_dir, error)
            return 0.0
        if newest_us is None:
            return 0.0
        # A clock that was ahead when it was made must not hide for months that none is made any more.
        self.last_success_s = min(newest_us, self._clock.wall_us()) / 1e6
        due_s = self.last_success_s + self._interval_s - self._clock.wall_us() / 1e6
        return min(max(0.0, due_s), self._interval_s)

    def _ask_process(self, verb: str, kind: type[Report]) -> Report:
        """Run the process to its end. Raises OSError, or ValueError with its last words."""
        with self._lock:
            if self._stop.is_set():
                raise ValueError("stopping")
            process = self._process = subprocess.Popen(  # noqa: S603  # our own module, one of two verbs
                isolated_command("pykyro.backup.scheduled_run", verb),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ANY_DIRECTORY,
            )
        try:
            answer, words = _ask(process, encode_request(self._request))
        finally:
            self._process = None
        if process.returncode != 0:
            last = " ".join(words.decode("utf-8", "replace").split())[-_WORDS_BYTES:]
            raise ValueError(last or f"the process ended with status {process.returncode}")
        try:
            return kind.model_validate_json(answer)
        except ValidationError as error:
            raise ValueError(f"the report cannot be read: {error.errors()[0]['msg']}") from None


def _ask(process: subprocess.Popen[bytes], request: bytes) -> tuple[bytes, bytes]:
    """The text that the process writes to both outputs. Its input stays open: its end would mean that this process is
    gone."""
    assert process.stdin is not None
    pipe, process.stdin = process.stdin, None
    with contextlib.suppress(BrokenPipeError):
        pipe.write(request)
        pipe.flush()
    try:
        return process.communicate()
    finally:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
