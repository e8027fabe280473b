"""Installs a wheel into a fresh environment and uses it there as a new user would.

    python scripts/try_wheel.py dist/pykyro-0.2.0-py3-none-any.whl

Embedded, at a server by the client and by REST, and every command. Nothing of the source tree takes part: the
programs run in a temporary directory, by the interpreter of the new environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_S = 60.0
EMBEDDED = """
import sys, pykyro
assert pykyro.__file__.startswith(sys.prefix), pykyro.__file__
with pykyro.open("embedded", dimension=3) as db:
    db.insert(1, [0.9, 0.1, 0.0], {"source": "wiki", "year": 2021})
    db.insert(2, [0.8, 0.3, 0.1], {"source": "mail", "year": 2023})
    assert db.search([1.0, 0.2, 0.0], k=5, filter={"year": {"$gte": 2022}}).ids.tolist() == [2]
with pykyro.open("embedded") as db:
    assert db.get(1).metadata == {"source": "wiki", "year": 2021}
"""
CLIENT = """
import sys, pykyro
with pykyro.Client(sys.argv[1]) as db:
    db.insert(1, [0.9, 0.1, 0.0], {"source": "wiki", "year": 2021})
    db.insert(2, [0.8, 0.3, 0.1], {"source": "mail", "year": 2023})
    assert db.search([1.0, 0.2, 0.0], k=1).ids.tolist() == [1]
"""
COMMANDS = ("kyrodb", "kyrodb_server", "kyrodb_backup", "kyrodb_load_tester")


def main() -> int:
    wheel = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="try-wheel-") as name:
        directory = Path(name)
        print(f"installing {wheel.name} and what it needs into a new environment")
        commands = installed(wheel, directory / "environment")
        began = time.monotonic()
        run(commands / "python", "-W", "error", "-c", EMBEDDED, cwd=directory)
        print(f"embedded: stored, searched, closed and opened again, {time.monotonic() - began:.1f} s")
        for command in COMMANDS:
            assert "usage" in run(commands / command, "--help", cwd=directory)
        for form in ("yaml", "toml"):
            assert "dimension" in run(commands / "kyrodb_server", "--generate-config", form, cwd=directory)
        print("every command explains itself; configurations are generated")
        began = time.monotonic()
        with server(commands, directory) as (target, url):
            print(f"server: started, {time.monotonic() - began:.1f} s")
            run(commands / "python", "-W", "error", "-c", CLIENT, target, cwd=directory)
            use_rest(url)
        print("server: searched by the client and by REST, its pages are served")
    return 0


def installed(wheel: Path, environment: Path) -> Path:
    """The directory of the commands of a new environment in which this wheel is installed."""
    venv.create(environment, with_pip=True)
    run(
        environment / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        wheel,
    )
    return environment / "bin"


def run(*words: str | Path, cwd: Path | None = None) -> str:
    """What the command prints. Raises CalledProcessError, with its errors on the terminal."""
    done = subprocess.run(
        words, cwd=cwd, env=clean_environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def clean_environment() -> dict[str, str]:
    """The environment without what would lead to another package, or to another server."""
    left_out = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in left_out and not name.startswith("KYRODB")
    }


@contextlib.contextmanager
def server(commands: Path, directory: Path) -> Iterator[tuple[str, str]]:
    """A server of the environment on free ports: its target for clients, its address for HTTP."""
    port, http_port = free_ports(2)
    environment = clean_environment() | {
        "KYRODB_PORT": str(port),
        "KYRODB__SERVER__HTTP_PORT": str(http_port),
        "KYRODB__SERVER__DASHBOARD": "true",
    }
    words: list[str | Path] = [
        commands / "kyrodb_server",
        "--data-dir",
        directory / "served",
        "--dimension",
        "3",
    ]
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{http_port}"
    try:
        deadline = time.monotonic() + START_S
        while not is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{log.read_text('utf-8')}")
            time.sleep(0.05)
        yield f"127.0.0.1:{port}", url
    finally:
        process.terminate()
        if process.wait() != 0:
            print(log.read_text("utf-8"), file=sys.stderr)


def is_ready(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{url}/ready", timeout=5).status == 200)
    except OSError:
        return False


def use_rest(url: str) -> None:
    """What curl would do: search, the description of REST, and both pages for a browser."""
    found = fetch(f"{url}/v1/collections/default/search", {"vector": [1, 0.2, 0], "k": 1})
    assert [hit["id"] for hit in json.loads(found)["hits"]] == [1], found
    assert json.loads(fetch(f"{url}/v1/openapi.json"))["openapi"].startswith("3.1")
    for page in ("/v1/docs", "/"):
        assert b"<html" in fetch(url + page)


def fetch(url: str, body: Any = None) -> bytes:
    """The answer to a GET, or to a POST of `body` as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


if __name__ == "__main__":
    sys.exit(main())
