"""One siege: a server with a budget, its tenants, what they were promised, and what is held open against it."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import grpc
from google.protobuf.message import Message
from tests.server.running import RunningServer, start_server, stub
from tests.siege.documents import DIMENSION, Documents
from tests.siege.finding import Finding
from tests.siege.probe import DOCUMENTS, Probe, vector
from tests.siege.resident import Watch
from tests.tenancy.keys import entry, key_of, write_keys

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import RETRY_AFTER_KEY

TENANTS: Final = ("acme", "globex")
PROBING: Final = "probe"
ADMIN_KEY: Final = key_of("acme", "a" * 32)
STEP_S: Final = 15.0
"""After that a step begins no further call."""
CALL_S: Final = 20.0
STOP_S: Final = 5
"""shutdown_timeout_secs of the server."""
STOP_MORE_S: Final = 5.0
"""What leaving the interpreter and a busy machine may take beyond it."""
_RECEIVED_MAX: Final = 64 << 20

Done: TypeAlias = Callable[[Any], None]
"""Takes the answer, None when the call failed."""


class Held(Protocol):
    """Something open against the server."""

    def close(self) -> object: ...


class Siege:
    """Not for several threads at once."""

    def __init__(
        self, directory: Path, limit_mib: int, *, max_vectors: int = 1_000_000, transport: str = "auto"
    ) -> None:
        self.limit_bytes = limit_mib << 20
        self.documents = Documents()
        self.held: list[Held] = []
        """Open until `let_go`, or until the server ends."""
        self.quiet_ms = 0.0
        self.statuses: dict[str, int] = {}
        """How often calls ended with each status, for the reader of a report."""
        self.last_error = ""
        self.without_hint = ""
        """A refusal that says to try again and does not say when."""
        self.peak_share = 0.0
        """The most memory there was, as a share of the limit."""
        self._serials = itertools.count(1)
        self._beside: list[threading.Thread] = []
        self.longest_stop_s = 0.0
        self._directory = directory
        names = (*TENANTS, PROBING)
        keys = [entry(name, max_vectors=max_vectors) for name in names]
        keys.append(entry(TENANTS[0], key=ADMIN_KEY, is_admin="true", max_vectors=max_vectors))
        self._settings: dict[str, Any] = {
            "memory__limit": f"{limit_mib}MiB",
            "server__transport": transport,
            "server__shutdown_timeout_secs": STOP_S,
            "hnsw__dimension": DIMENSION,
            "hnsw__distance": "euclidean",
            "auth__enabled": "true",
            "auth__api_keys_file": write_keys(directory / "keys.yaml", *keys),
            "logging__max_file_size_bytes": 16 << 20,
        }
        self._counting = threading.Lock()
        self._start()
        self.quiet_ms = self.probe.quiet_ms()

    # --- lives ------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.server: RunningServer = start_server(self._directory, self._settings)
        self.watch = Watch(self.server.process.pid, self.limit_bytes)
        try:
            self.server.wait_ready()
        except AssertionError as error:
            self._leave()
            raise Finding("start", str(error)[-2000:]) from error
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{self.server.port}",
            options=[
                ("grpc.max_receive_message_length", _RECEIVED_MAX),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self.stub = stub(self.channel)
        if not self.quiet_ms:
            self._store_what_is_probed()
        self.probe = Probe(self.server.port, key_of(PROBING))

    def _store_what_is_probed(self) -> None:
        documents = (pb.InsertRequest(doc_id=at, embedding=vector(at)) for at in range(1, DOCUMENTS + 1))
        answer = self.stub.BulkInsert(documents, metadata=auth(PROBING), timeout=CALL_S)
        assert answer.success, answer

    def restart(self, *, kill: bool) -> None:
        """End the server by SIGKILL, or by SIGTERM within its time, and start it again."""
        if self.server.process.poll() is not None:
            raise Finding("died", f"exit code {self.server.process.returncode}\n{self.server.log[-2000:]}")
        self.probe.close()
        if kill:
            self.server.process.kill()
            self.server.process.wait()
        else:
            self._stop()
        self._leave()
        self._start()

    def _stop(self) -> None:
        began = time.monotonic()
        code = self.server.stop()
        took = time.monotonic() - began
        self.longest_stop_s = max(self.longest_stop_s, took)
        if took > STOP_S + STOP_MORE_S:
            raise Finding("stop", f"took {took:.1f} s, shutdown_timeout_secs is {STOP_S}")
        if code != 0:
            raise Finding("stop", f"exit code {code}\n{self.server.log[-2000:]}")

    def let_go(self) -> None:
        """Close everything that is held open."""
        for one in self.held:
            one.close()
        self.held.clear()

    def _leave(self) -> None:
        self.let_go()
        self.watch.close()
        self.server.channel.close()
        with contextlib.suppress(AttributeError):  # a start that failed came to no channel
            self.channel.close()

    def end(self) -> None:
        """By force, whatever state it is in."""
        with contextlib.suppress(AttributeError):
            self.probe.close()
        if self.server.process.poll() is None:
            self.server.process.kill()
        self.server.process.wait()
        self._leave()
        self.join()

    def next_serial(self) -> int:
        """Another number each time."""
        return next(self._serials)

    def begin(self, work: Callable[[], object]) -> None:
        """Do this beside what comes next; `join` waits for its end. A restart may take its server away."""

        def run() -> None:
            with contextlib.suppress(ValueError, OSError, grpc.RpcError):
                work()

        thread = threading.Thread(target=run, daemon=True)
        self._beside.append(thread)
        thread.start()

    def join(self) -> None:
        """Return when nothing is done beside any more."""
        for thread in self._beside:
            thread.join()
        self._beside.clear()

    # --- calls ------------------------------------------------------------------------------------

    def run(self, rpc: str, tenant: str, calls: Iterable[tuple[Message, Done]], *, at_once: int) -> int:
        """Make the calls, so many at a time, for at most STEP_S; how many were made, when all have ended."""
        room, end = threading.Semaphore(at_once), time.monotonic() + STEP_S
        method = getattr(self.stub, rpc)
        begun = 0
        for request, done in calls:
            room.acquire()
            if time.monotonic() > end:
                room.release()
                break
            future = method.future(request, metadata=auth(tenant), timeout=CALL_S)
            future.add_done_callback(lambda ended, done=done: self._ended(ended, done, room))
            begun += 1
        for _ in range(at_once):
            room.acquire()
        return begun

    def _ended(self, future: Any, done: Done, room: threading.Semaphore) -> None:
        try:
            error = future.exception()
            answer = None if error is not None else future.result()
            self.count(future.code())
            if error is not None:
                self._note(future)
            done(answer)
        finally:
            room.release()

    def _note(self, future: Any) -> None:
        details = future.details() or ""
        self.last_error = f"{future.code()}: {details}"
        hints = [name for name, _ in future.trailing_metadata() or () if name == RETRY_AFTER_KEY]
        if "try again later" in details and not hints:
            self.without_hint = details

    def count(self, code: grpc.StatusCode) -> None:
        """Note how a call ended."""
        with self._counting:
            self.statuses[code.name] = self.statuses.get(code.name, 0) + 1


def auth(tenant: str) -> tuple[tuple[str, str], ...]:
    return (("x-api-key", key_of(tenant)),)


def nothing(answer: Any) -> None:
    """For calls whose answers do not matter."""
