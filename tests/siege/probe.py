"""A small tenant that searches all the time, in a process of its own, and expects the right answer soon.

It behaves as clients should: what is refused for a moment is tried again, and the time until the answer counts.

    python -m tests.siege.probe PORT KEY
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import grpc
from tests.patience import PATIENCE_S
from tests.server.running import stub
from tests.siege.documents import DIMENSION
from tests.siege.finding import Finding

from pykyro.proto import kyrodb_pb2 as pb

DOCUMENTS: Final = 50
BETWEEN_S: Final = 0.05
QUIET_PROBES: Final = 40
TIMES_QUIET: Final = 50
FLOOR_MS: Final = 2_000.0
"""Least bound: a machine that does other things as well may take so long without a fault of the server."""
_GIVES_UP_S: Final = 10.0
_TRY_AGAIN: Final = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)


def vector(number: int) -> list[float]:
    """Of document `number` of the probing tenant, 1 to DOCUMENTS."""
    return [float(number), *[1.0] * (DIMENSION - 1)]


@dataclass(frozen=True, slots=True)
class Answer:
    """One probe: until when it took, and what was wrong."""

    ms: float
    fault: str


class Probe:
    """The process that probes one server, until closed. Answers are kept until they are asked for."""

    def __init__(self, port: int, key: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.siege.probe", str(port), key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answers: list[Answer] = []
        self._more = threading.Condition()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self._answers.append(Answer(**json.loads(line)))
                self._more.notify_all()

    def take(self, least: int) -> list[Answer]:
        """All answers since the last call, at least so many: they are waited for."""
        with self._more:
            # Above what one probe may take, so that it is the probe that says what happened.
            came = self._more.wait_for(lambda: len(self._answers) >= least, PATIENCE_S)
            answers, self._answers = self._answers, []
        if not came:
            raise Finding("probe", f"{len(answers)} probes in {PATIENCE_S:.0f} s")
        return answers

    def quiet_ms(self) -> float:
        """The median while nobody else asks for anything."""
        self.take(5)
        return statistics.median(answer.ms for answer in self.take(QUIET_PROBES))

    def check(self, quiet_ms: float) -> None:
        """Raises Finding when an answer since the last call was wrong, or late. One more is waited for first."""
        bound_ms = max(FLOOR_MS, TIMES_QUIET * quiet_ms)
        for _ in range(2):  # the first to come may have been asked before
            for answer in self.take(1):
                if answer.fault:
                    raise Finding("probe", f"after {answer.ms:.0f} ms: {answer.fault}")
                if answer.ms > bound_ms:
                    quiet = f"quiet p50 {quiet_ms:.1f} ms, bound {bound_ms:.0f} ms"
                    raise Finding("probe", f"took {answer.ms:.0f} ms; {quiet}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reading.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def ask(search: Any, number: int, key: str) -> Answer:
    """Search for one document until there is an answer."""
    request = pb.SearchRequest(query_embedding=vector(number), k=1, ef_search=50)
    began = time.monotonic()
    fault = ""
    while (gone := time.monotonic() - began) < _GIVES_UP_S:
        try:
            answer = search(request, metadata=(("x-api-key", key),), timeout=_GIVES_UP_S - gone)
        except grpc.RpcError as error:
            fault = f"{error.code()}: {error.details()}"
            if error.code() not in _TRY_AGAIN:
                break
            time.sleep(0.02)
            continue
        found = [result.doc_id for result in answer.results]
        fault = "" if found == [number] else f"searched {number}, found {found}: {answer.error}"
        break
    return Answer(1000 * (time.monotonic() - began), fault)


def main() -> None:
    """Probes until standard input ends, which it does with the parent too."""
    port, key = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        search, number = stub(channel).Search, 0
        while True:
            number = number % DOCUMENTS + 1
            answer = ask(search, number, key)
            print(json.dumps({"ms": answer.ms, "fault": answer.fault}), flush=True)
            time.sleep(BETWEEN_S)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
