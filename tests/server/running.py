"""A real kyrodb_server process on free ports.

    with running_server(tmp_path, hnsw__dimension=8) as server:
        server.stub.Insert(pb.InsertRequest(...))
        server.http("/health")

Settings are keys of the configuration with "__" for ".", and go in through the environment.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
from tests.patience import PATIENCE_S

from pykyro.proto.methods import METHODS

START_S = PATIENCE_S


def stub(channel: grpc.Channel) -> Any:
    """A client with one callable for each RPC, by its name."""
    calls = {}
    for method in METHODS.values():
        kind = {
            (False, False): channel.unary_unary,
            (True, False): channel.stream_unary,
            (True, True): channel.stream_stream,
        }[method.client_streaming, method.server_streaming]
        calls[method.name] = kind(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
    return SimpleNamespace(**calls)


FIRST_PORT, PORTS = 10_000, 20_000
"""Below those the system gives to outgoing connections, one of which could take a port found free."""

_candidates = itertools.count(os.getpid() * 1_009)


def free_port() -> int:
    """A port nobody listens on now, not given before; processes that test side by side start far apart."""
    for candidate in itertools.islice(_candidates, PORTS):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", FIRST_PORT + candidate % PORTS))
            return int(probe.getsockname()[1])
    raise RuntimeError(f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free")


_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""httpx reads all certificates of the system for each request that does not bring a context: 30 ms of processor, and
what polls a server that starts would take that from the server."""


def http_request(method: str, url: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """One request in the clear, with a connection of its own."""
    return httpx.request(
        method, url, headers=headers, verify=_NO_AUTHORITIES, trust_env=False, timeout=PATIENCE_S
    )


class RunningServer:
    """The process, its ports and a client."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, http_port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.http_port = http_port
        self.log_path = log
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", -1)]
        )
        self.stub = stub(self.channel)

    @property
    def log(self) -> str:
        """Everything the process wrote."""
        return self.log_path.read_text()

    def http(self, path: str, method: str = "GET") -> httpx.Response:
        """One request to the HTTP port."""
        return http_request(method, f"http://127.0.0.1:{self.http_port}{path}")

    def http_json(self, path: str) -> Any:
        """The JSON body of a GET."""
        return json.loads(self.http(path).content)

    def wait_ready(self) -> None:
        """Return when /ready says so; fail with the log when it never does."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if self.http("/ready").status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the server did not become ready:\n{self.log}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the process and wait for it; its exit code."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(START_S)


def start_server(
    tmp_path: Path,
    settings: Mapping[str, object],
    arguments: tuple[str, ...] = (),
    wrapper: tuple[str, ...] = (),
) -> RunningServer:
    """Start the process and return at once. Data is kept in `tmp_path / "data"`.

    `wrapper` is a command that ends by becoming the one that follows it.
    """
    port, http_port = free_port(), free_port()
    wanted = {
        "server__port": port,
        "server__http_port": http_port,
        "persistence__data_dir": tmp_path / "data",
        "environment__type": "benchmark",
    } | dict(settings)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KYRODB")}
    environment |= {f"KYRODB__{key.upper()}": str(value) for key, value in wanted.items()}
    log = tmp_path / f"server-{port}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "pykyro.cli.kyrodb_server", *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return RunningServer(process, port, http_port, log)


@contextlib.contextmanager
def running_server(
    tmp_path: Path, arguments: tuple[str, ...] = (), wrapper: tuple[str, ...] = (), /, **settings: object
) -> Iterator[RunningServer]:
    """A server that is ready; stopped, by force if need be, at the end."""
    server = start_server(tmp_path, settings, arguments, wrapper)
    try:
        server.wait_ready()
        yield server
        server.stop()
    finally:
        server.channel.close()
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
