"""The vendor's own Python client, as PyPI has it, against our server: every method, sync and async, with keys, mTLS
and both transports; and both packages in one process and one environment."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import files
from pathlib import Path
from typing import Any

import kyrodb
import pytest
from kyrodb import InsertItem, SearchQuery
from tests.client.certificates import make_certificates
from tests.patience import PATIENCE_S
from tests.server.running import running_server, start_server
from tests.tenancy.keys import entry, key_of, write_keys

import pykyro

DIMENSION = 4
ROW = (1.0, 2.0, 3.0, 4.0)


class Waiting:
    """A client of the vendor's, sync or async, called as if it were sync; notes which methods were called."""

    def __init__(self, kind: str, *given: Any, **named: Any) -> None:
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        self.called: set[str] = set()
        made = kyrodb.KyroDBClient if self._loop is None else kyrodb.AsyncKyroDBClient
        self._client: Any = (
            made(*given, **named)
            if self._loop is None
            else self._loop.run_until_complete(_made(made, given, named))
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*given: object, **named: object) -> Any:
            self.called.add(name)
            answer = method(*given, **named)
            if self._loop is not None and inspect.isawaitable(answer):
                return self._loop.run_until_complete(_waited(answer))
            if self._loop is not None and hasattr(answer, "__aiter__"):
                return self._loop.run_until_complete(_collected(answer))
            return answer

        return call

    def end(self) -> None:
        self.close()
        if self._loop is not None:
            self._loop.close()


async def _made(kind: Callable[..., Any], given: Iterable[object], named: dict[str, object]) -> Any:
    return kind(*given, **named)


async def _waited(answer: Any) -> Any:
    return await answer


async def _collected(answer: Any) -> list[Any]:
    return [one async for one in answer]


def public_methods(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}


def use_every_method(client: Waiting, *, health: str = "HEALTHY") -> None:
    """Each method once or more, its answer as the documents stored demand."""
    client.wait_for_ready(timeout_s=PATIENCE_S)
    assert client.health().status == health
    ack = client.insert(doc_id=1, embedding=ROW, metadata={"kind": "a"})
    assert (ack.success, ack.total_inserted) == (True, 1)
    items = [InsertItem(doc_id, (1.0, 0.0, 0.0, float(doc_id)), {"kind": "b"}) for doc_id in range(2, 12)]
    assert client.bulk_insert(items).total_inserted == 10
    more = [InsertItem(doc_id, (0.0, 1.0, 0.0, float(doc_id)), {"kind": "c"}) for doc_id in range(12, 22)]
    assert client.bulk_load_hnsw(more).total_loaded == 10

    found = client.query(doc_id=1, include_embedding=True)
    assert (found.found, dict(found.metadata), found.embedding) == (True, {"kind": "a"}, ROW)
    assert not client.query(doc_id=99).found
    bulk = client.bulk_query(doc_ids=[1, 2, 99])
    assert [one.found for one in bulk.results] == [True, True, False]

    answer = client.search(query_embedding=list(ROW), k=3, include_embeddings=True)
    assert (answer.results[0].doc_id, answer.results[0].embedding) == (1, ROW)
    assert answer.results[0].score == pytest.approx(1.0)
    wanted = kyrodb.all_of([kyrodb.exact("kind", "b"), kyrodb.negate(kyrodb.in_values("kind", ["a", "c"]))])
    assert {hit.doc_id for hit in client.search(query_embedding=list(ROW), k=20, filter=wanted).results} == {
        item.doc_id for item in items
    }
    streamed = list(client.bulk_search([SearchQuery(ROW, 1), SearchQuery((0.0, 1.0, 0.0, 12.0), 1)]))
    assert [[hit.doc_id for hit in one.results] for one in streamed] == [[1], [12]]

    assert client.update_metadata(doc_id=1, metadata={"more": "x"}).existed
    assert dict(client.query(doc_id=1).metadata) == {"kind": "a", "more": "x"}
    assert client.delete(doc_id=1).existed
    assert client.batch_delete_ids(doc_ids=[2, 3]).deleted_count == 2
    assert client.batch_delete_filter(filter=kyrodb.exact("kind", "c")).deleted_count == 10

    assert client.flush_hot_tier(force=True).success
    assert client.create_snapshot().documents_snapshotted == 8
    assert client.metrics().total_inserts >= 21
    assert client.get_config().embedding_dimension == DIMENSION
    with pytest.raises(kyrodb.InvalidArgumentError, match="dimension"):
        client.insert(doc_id=5, embedding=(1.0, 2.0))
    client.end()
    client.called.add("set_api_key_provider_async")  # of the async client alone; it changes no call
    setters = {"set_api_key", "set_api_key_provider", "set_api_key_provider_async"}
    assert public_methods(kyrodb.AsyncKyroDBClient) - client.called == setters - client.called


@pytest.mark.parametrize("transport", ["h2corn", "grpcio"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_every_method(kind: str, transport: str, tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=DIMENSION, server__transport=transport) as server:
        use_every_method(Waiting(kind, f"127.0.0.1:{server.port}"))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_every_method_with_a_key_and_both_certificates(kind: str, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    keys = write_keys(tmp_path / "keys.yaml", entry("acme", is_admin="true"))
    settings = {
        "hnsw__dimension": DIMENSION,
        "auth__enabled": "true",
        "auth__api_keys_file": keys,
        **certificates.mutual_tls,
    }
    server = start_server(tmp_path, settings)
    tls = kyrodb.TLSConfig(
        certificates.ca.read_bytes(), certificates.client_key.read_bytes(), certificates.client.read_bytes()
    )
    named = {"tls": tls, "channel_options": [("grpc.ssl_target_name_override", "db.internal")]}
    try:
        target = f"127.0.0.1:{server.port}"
        nobody = Waiting(kind, target, **named)
        nobody.wait_for_ready(timeout_s=PATIENCE_S)
        with pytest.raises(kyrodb.AuthenticationError):
            nobody.query(doc_id=1)
        nobody.set_api_key(key_of("acme"))
        assert not nobody.query(doc_id=1).found
        nobody.set_api_key_provider(lambda: "kyro_wrong")
        with pytest.raises(kyrodb.AuthenticationError):
            nobody.query(doc_id=1)
        nobody.end()
        # The certificates of the test end soon, and the server says so.
        use_every_method(Waiting(kind, target, api_key=key_of("acme"), **named), health="DEGRADED")
    finally:
        server.stop()


@pytest.mark.parametrize("both", ["import kyrodb, pykyro", "import pykyro, kyrodb"])
def test_both_in_one_process(both: str, tmp_path: Path) -> None:
    """The messages of both have the same names; each package's own are the ones it uses."""
    program = f"""
{both}
import pykyro.proto.kyrodb_pb2, kyrodb.client
with pykyro.open({str(tmp_path / "data")!r}, dimension=4) as db:
    db.insert(1, [1, 2, 3, 4])
    assert db.search([1, 2, 3, 4], 1).ids.tolist() == [1]
client = pykyro.Client("127.0.0.1:1", timeout_s=1)
theirs = kyrodb.KyroDBClient("127.0.0.1:1")
theirs.close()
client.close()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=PATIENCE_S)


def test_they_share_no_file() -> None:
    """So the order of installation does not matter, and removing one leaves the other."""
    theirs = {str(path) for path in files("kyrodb") or ()}
    assert theirs
    ours = {
        path.relative_to(Path(pykyro.__file__).parents[1]) for path in Path(pykyro.__file__).parent.rglob("*")
    }
    assert not theirs & {str(path) for path in ours}
    assert not any(path.startswith("pykyro") for path in theirs)
