"""A server that several tenants share, and calls that come with a key."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.protobuf.message import Message
from tests.contract.corner import DIMENSION
from tests.patience import PATIENCE_S
from tests.server.running import RunningServer, http_request, running_server
from tests.tenancy.keys import CANARY, entry, key_of, write_keys

from pykyro.proto.methods import METHODS

OWN = key_of("acme", "own" + CANARY)
OTHER = key_of("globex", "other" + CANARY)
ADMIN = key_of("acme", "admin" + CANARY)
DISABLED = key_of("acme", "disabled" + CANARY)
UNKNOWN = key_of("acme", "unknown" + CANARY)
MALFORMED = CANARY

ENTRIES = (
    entry("acme", key=OWN),
    entry("globex", key=OTHER),
    entry("acme", key=ADMIN, is_admin="true"),
    entry("acme", key=DISABLED, enabled="false"),
)


@dataclass(frozen=True)
class Answer:
    """How a call ended, and the messages it brought."""

    code: str
    text: str
    trailing: dict[str, str]
    messages: list[Message]


class Tenants:
    """The server and its key file."""

    def __init__(self, server: RunningServer, keys: Path) -> None:
        self.server = server
        self.keys = keys

    def call(
        self, rpc: str, requests: Sequence[Message], key: str | None, *, header: str = "x-api-key"
    ) -> Answer:
        """One call; `key` None sends none, header "authorization" sends it as a bearer."""
        value = key if header == "x-api-key" or key is None else f"Bearer {key}"
        metadata = () if value is None else ((header, value),)
        return called(self.server.stub, rpc, requests, metadata)

    def http(self, path: str, key: str | None = None, method: str = "GET") -> httpx.Response:
        headers = {} if key is None else {"x-api-key": key}
        url = f"http://127.0.0.1:{self.server.http_port}{path}"
        return http_request(method, url, headers)

    def reload(self, *, refused: bool = False) -> None:
        """Send SIGHUP, and return when the log says what came of it."""
        ends = "configuration reload refused" if refused else "configuration reloaded"
        before = self.server.log.count(ends)
        self.server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE_S
        while self.server.log.count(ends) == before:
            assert time.monotonic() < deadline, self.server.log
            time.sleep(0.02)
        # The log line is written just before the health changes.
        time.sleep(0.1)


def called(stub: Any, rpc: str, requests: Sequence[Message], metadata: Sequence[tuple[str, str]]) -> Answer:
    """Make a call of any kind."""
    method = METHODS[rpc]
    argument: Any = iter(requests) if method.client_streaming else requests[0]
    call = getattr(stub, rpc)
    messages: list[Message] = []
    try:
        if method.server_streaming:
            messages.extend(call(argument, metadata=metadata, timeout=PATIENCE_S))
        else:
            messages.append(call(argument, metadata=metadata, timeout=PATIENCE_S))
    except grpc.RpcError as error:
        ended: Any = error
        trailing = {name: str(value) for name, value in ended.trailing_metadata() or ()}
        return Answer(ended.code().name, ended.details() or "", trailing, messages)
    return Answer("OK", "", {}, messages)


@contextlib.contextmanager
def shared_server(directory: Path, *entries: dict[str, object], **settings: Any) -> Iterator[Tenants]:
    """A server with these keys, those of ENTRIES when there are none."""
    keys = write_keys(directory / "keys.yaml", *(entries or ENTRIES))
    chosen: dict[str, Any] = {
        "hnsw__dimension": DIMENSION,
        "auth__enabled": "true",
        "auth__api_keys_file": keys,
    }
    with running_server(directory, **(chosen | settings)) as server:
        yield Tenants(server, keys)
