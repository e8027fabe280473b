"""kyrodb mcp as a program with a language model uses it: by the SDK's own client, over standard input and output."""

from __future__ import annotations

import builtins
import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from tests.patience import PATIENCE_S
from tests.server.running import running_server
from tests.tenancy.keys import entry, key_of, write_keys

import pykyro
from pykyro.cli.kyrodb import main
from pykyro.integrations.mcp.json_values import from_json, to_json
from pykyro.integrations.mcp.server import make_server

READS = ["list_collections", "search", "search_text", "search_like", "get", "scroll", "count", "health"]
WRITES = ["insert", "update_metadata", "delete"]
WHEN = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def started(*arguments: object, **environment: str) -> Client:
    """A client of `kyrodb mcp` with these arguments, in a process of its own."""
    command = ["-m", "pykyro.cli.kyrodb", "mcp", *map(str, arguments)]
    return Client(StdioServerParameters(command=sys.executable, args=command, env=environment))


async def told(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool answers."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The error that a tool tells."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(getattr(result.content[0], "text", ""))


def ids(documents: list[dict[str, Any]]) -> list[int | str]:
    return [one["id"] for one in documents]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A database with five documents in `default`, and a collection `pages` with texts for ids."""
    with pykyro.open(tmp_path / "data", dimension=2) as db:
        db.insert_many([(at, [1, at / 10], {"n": at, "odd": at % 2 == 1, "at": WHEN}) for at in range(1, 6)])
        db.create_collection("pages", 2, id_type="text").insert(
            "home", [1, 0], {"deep": {"x": [1, math.inf]}}
        )
    return tmp_path / "data"


@pytest.mark.anyio
async def test_reading_a_directory(directory: Path) -> None:
    async with started("--data-dir", directory) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == READS
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
        listed = (await told(client, "list_collections"))["collections"]
        assert [(one["name"], one["dimension"], one["id_type"]) for one in listed] == [
            ("default", 2, "integer"),
            ("pages", 2, "text"),
        ]
        assert (await told(client, "health"))["status"] == "healthy"

        found = await told(client, "search", vector=[1, 0], k=2, filter={"n": {"$gt": 1}})
        assert (ids(found["hits"]), found["matched"]) == ([2, 3], 4)
        assert found["hits"][0]["metadata"] == {
            "n": 2,
            "odd": False,
            "at": {"$time": "2024-01-02T03:04:05Z"},
        }
        assert ids((await told(client, "search_like", id=3, k=2))["hits"]) == [4, 2]
        assert ids((await told(client, "search_like", id=3, k=9, filter={"odd": True}))["hits"]) == [5, 1]
        since = {"at": {"$gte": {"$time": "2024-01-02T00:00:00Z"}}}
        assert await told(client, "count", filter=since) == {"count": 5}
        page = await told(client, "scroll", limit=3)
        rest = await told(client, "scroll", limit=3, page_token=page["next_page_token"])
        assert ids(page["documents"]) + ids(rest["documents"]) == [1, 2, 3, 4, 5]
        assert rest["next_page_token"] == ""
        got = await told(client, "get", ids=["home", "x"], collection="pages", include_vectors=True)
        assert got == {
            "documents": [
                {"id": "home", "metadata": {"deep": {"x": [1, {"$float": "inf"}]}}, "vector": [1.0, 0.0]}
            ],
            "missing": ["x"],
        }

        assert "InvalidArgument: vector dimension mismatch" in await refused(
            client, "search", vector=[1, 2, 3]
        )
        assert "filter.n.$more is no operator" in await refused(client, "count", filter={"n": {"$more": 1}})
        assert "no document with id 77" in await refused(client, "search_like", id=77)
        assert "nearest name is 'pages'" in await refused(client, "count", collection="page")
        assert "Unknown tool" in await refused(client, "delete", ids=[1])
    with pykyro.open(directory) as db:  # the process has let go of it
        assert db.count() == 5


@pytest.mark.anyio
async def test_writing_when_it_is_allowed(directory: Path) -> None:
    async with started("--data-dir", directory, "--collection", "pages", "--allow-writes") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == READS + WRITES
        documents = [
            {"id": "a", "vector": [0, 1], "metadata": {"when": {"$time": "2024-01-02T03:04:05Z"}}},
            {"id": "b", "vector": [0, 1, 2]},
        ]
        report = await told(client, "insert", documents=documents)
        assert (report["inserted"], ids(report["refused"])) == (1, ["b"])
        assert await told(client, "update_metadata", id="a", metadata={"n": 1}) == {"existed": True}
        assert await told(client, "update_metadata", id="z", metadata={}) == {"existed": False}
        assert "give ids or filter, got neither" in await refused(client, "delete")
        assert await told(client, "delete", ids=["home", "none"]) == {"deleted": 1}
        assert await told(client, "delete", filter={"n": 2}) == {"deleted": 0}
    with pykyro.open(directory) as db:
        (left,) = db.collection("pages").documents()
        assert (left.id, left.metadata) == ("a", {"when": WHEN, "n": 1})


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of two tenants, each with a document 1."""
    directory = tmp_path_factory.mktemp("tenants")
    keys = write_keys(directory / "keys.yaml", entry("acme"), entry("globex"))
    with running_server(
        directory, hnsw__dimension=2, auth__enabled="true", auth__api_keys_file=keys
    ) as running:
        for tenant in ("acme", "globex"):
            with pykyro.Client(f"127.0.0.1:{running.port}", api_key=key_of(tenant)) as db:
                db.insert(1, [1, 0], {"owner": tenant})
        yield f"127.0.0.1:{running.port}"


@pytest.mark.anyio
async def test_a_key_says_what_a_server_shows(target: str) -> None:
    async with started("--url", target, KYRODB_API_KEY=key_of("acme")) as client:
        assert (await told(client, "get", ids=[1]))["documents"][0]["metadata"] == {"owner": "acme"}
        assert await told(client, "count") == {"count": 1}
    with pykyro.Client(target) as nobody:
        async with Client(make_server(nobody)) as client:
            assert "Unauthenticated" in await refused(client, "count")


def test_a_signal_ends_it_while_input_is_open(directory: Path) -> None:
    command = [sys.executable, "-m", "pykyro.cli.kyrodb", "mcp", "--data-dir", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        process.stdin.flush()
        assert '"id":1' in process.stdout.readline()
        process.terminate()
        assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    with pykyro.open(directory) as db:
        assert db.count() == 5


@pytest.mark.anyio
async def test_a_program_can_serve_its_own_database(tmp_path: Path) -> None:
    with pykyro.open(tmp_path / "data", dimension=1) as db:
        async with Client(make_server(db)) as client:
            assert client.server_info is not None
            assert client.server_info.version == pykyro.__version__
            assert await told(client, "count") == {"count": 0}


def test_values_in_json() -> None:
    value = {"at": WHEN, "far": [-math.inf, 1.5, None], "deep": {"flag": True, "text": "x"}}
    assert from_json(to_json(value), "metadata") == value
    with pytest.raises(pykyro.InvalidArgument, match=r"filter\.at\[0\]: Invalid isoformat string"):
        from_json({"at": [{"$time": "yesterday"}]}, "filter")


def test_without_the_package_the_extra_is_named(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def without_mcp(name: str, *rest: Any) -> Any:
        if name == "pykyro.integrations.mcp.server":
            raise ModuleNotFoundError("No module named 'mcp'", name="mcp")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_mcp)
    assert main(["mcp", "--data-dir", str(directory)]) == 1
    assert "pip install 'pykyro[mcp]'" in capsys.readouterr().err
