"""The way of one warm Search and one Insert through the server: which files and functions they pass.

Every thread of a real server is profiled (sys.setprofile) while one call is answered. Printed are the files and the
functions of the package in the order in which they are first met, and how often the way changes from one file to
another. `--steps` prints every call.

Each call is made several times, with other vectors, and the shortest trace is printed: the others hold what the clock
starts meanwhile (samples of recall, looks at the health, maintenance), which is no part of the call.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import grpc
import numpy as np
from tests.server.running import free_port, stub

import pykyro
from pykyro.cli.kyrodb_server import main as serve
from pykyro.model.types import Vector
from pykyro.proto import kyrodb_pb2 as pb

_PACKAGE: Final = Path(pykyro.__file__).parent
_DIMENSION: Final = 384
_ROWS: Final = 12000
_STRUCTURE: Final = 24
_TRACES: Final = 12


@dataclass
class Trace:
    """What happened inside the package while `recording` was set."""

    recording: bool = False
    calls: list[tuple[int, CodeType]] = field(default_factory=list)
    """Depth in its thread and code of each call, in order of time."""
    changes: int = 0
    _file: str = ""
    _depth: dict[int, int] = field(default_factory=dict)

    def observe(self, frame: FrameType, event: str, argument: object) -> None:
        """For sys.setprofile."""
        if not self.recording or event not in ("call", "return"):
            return
        code = frame.f_code
        if not code.co_filename.startswith(str(_PACKAGE)):
            return
        thread = threading.get_ident()
        depth = self._depth.get(thread, 0)
        if event == "call":
            self.calls.append((depth, code))
            self._depth[thread] = depth + 1
        else:
            self._depth[thread] = max(0, depth - 1)
        if code.co_filename != self._file:
            self._file = code.co_filename
            self.changes += 1

    def start(self) -> None:
        self.calls, self.changes, self._file, self._depth = [], 0, "", {}
        self.recording = True

    def print(self, name: str, *, steps: bool) -> None:
        files = list(dict.fromkeys(_place(code) for _, code in self.calls))
        functions = {code for _, code in self.calls}
        print(f"\n## {name}: {len(files)} files, {len(functions)} functions, {self.changes} changes of file")
        if steps:
            for depth, code in self.calls:
                print(f"{'  ' * depth}{_place(code)}: {code.co_qualname}")
            return
        for file in files:
            names = dict.fromkeys(code.co_qualname for _, code in self.calls if _place(code) == file)
            print(f"{file}: {', '.join(names)}")


def _place(code: CodeType) -> str:
    return str(Path(code.co_filename).relative_to(_PACKAGE))


def _ask(port: int, trace: Trace, *, steps: bool) -> None:
    """Fill the database, then trace one call of each kind; ends the server."""
    random = np.random.default_rng(1)
    # As texts, they have structure, so that a search walks the graph; without any, it would scan.
    spread = random.standard_normal((_STRUCTURE, _DIMENSION))
    everything = random.standard_normal((_ROWS + 100 + 2 * _TRACES, _STRUCTURE)) @ spread
    everything += 0.6 * random.standard_normal(everything.shape)
    rows, later = np.split(everything.astype(np.float32), [_ROWS + 100])
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(60)
            server = stub(channel)
            server.BulkInsert(_insert(number + 1, rows[number]) for number in range(_ROWS))
            server.FlushHotTier(pb.FlushRequest(force=True))
            for row in rows[_ROWS:]:
                server.Search(_search(row))
            for name, calls in (
                ("Search", [partial(server.Search, _search(row)) for row in later[:_TRACES]]),
                (
                    "Insert",
                    [
                        partial(server.Insert, _insert(_ROWS + 1 + number, row))
                        for number, row in enumerate(later[_TRACES:])
                    ],
                ),
            ):
                traces = []
                for call in calls:
                    with _recorded(trace):
                        call()
                    traces.append(replace(trace))
                min(traces, key=lambda one: len(one.calls)).print(name, steps=steps)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _recorded(trace: Trace) -> Iterator[None]:
    trace.start()
    yield
    threading.Event().wait(0.03)  # what the server does behind its answer belongs to the call
    trace.recording = False


def _search(row: Vector) -> pb.SearchRequest:
    return pb.SearchRequest(query_embedding=row.tolist(), k=10)


def _insert(doc_id: int, row: Vector) -> pb.InsertRequest:
    return pb.InsertRequest(doc_id=doc_id, embedding=row.tolist(), metadata={"topic": "a"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", action="store_true", help="print every call")
    parser.add_argument("--transport", choices=("h2corn", "grpcio"), default="h2corn")
    options = parser.parse_args()
    trace, port = Trace(), free_port()
    with tempfile.TemporaryDirectory() as directory:
        os.environ |= {
            "KYRODB__HNSW__DIMENSION": str(_DIMENSION),
            "KYRODB__SERVER__TRANSPORT": options.transport,
            "KYRODB__LOGGING__LEVEL": "error",
        }
        client = threading.Thread(target=_ask, args=(port, trace), kwargs={"steps": options.steps})
        client.start()
        threading.setprofile(trace.observe)
        sys.setprofile(trace.observe)
        sys.argv = ["kyrodb_server", "--data-dir", directory, "--port", str(port)]
        try:
            return serve() or 0
        finally:
            sys.setprofile(None)
            client.join()


if __name__ == "__main__":
    sys.exit(main())
