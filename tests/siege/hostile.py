"""What clients do that mean no good, or know no better. What they hold open stays so until a step lets go of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from tests.siege.documents import Recipe
from tests.siege.lawful import filter_of
from tests.siege.raw import Raw, silent
from tests.siege.session import Siege, auth
from tests.tenancy.keys import key_of

from pykyro.model.limits import MESSAGE_BYTES_MAX
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import METHODS

_WATCH: Final = "/grpc.health.v1.Health/Watch"


def half_open(siege: Siege, *, tenant: str, rpc: str, connections: int, streams: int) -> None:
    """Streams that send one message and never end."""
    request: pb.SearchRequest | pb.InsertRequest
    if rpc == "BulkSearch":
        request = pb.SearchRequest(query_embedding=Recipe(1, 0, 0).vector(), k=10)
    else:
        # The zeroth document is refused, so that what was stored of such a stream is known: nothing.
        request = pb.InsertRequest(doc_id=0, embedding=Recipe(1, 0, 0).vector())
    payload, path = request.SerializeToString(), METHODS[rpc].path
    _hold(siege, connections, streams, tenant, lambda raw: raw.call(path, payload, last=False))


def slow_reader(
    siege: Siege, *, tenant: str, rpc: str, connections: int, requests: int, first: int, k: int
) -> None:
    """Requests on connections that never read an answer; `k` is how many documents each asks for."""
    question: pb.SearchRequest | pb.BulkQueryRequest
    if rpc == "Search":
        question = pb.SearchRequest(query_embedding=Recipe(first, 0, 0).vector(), k=k)
    else:
        question = pb.BulkQueryRequest(doc_ids=[first] * k)
    payload, path = question.SerializeToString(), METHODS[rpc].path
    _hold(siege, connections, requests, tenant, lambda raw: raw.call(path, payload))


def half_messages(siege: Siege, *, tenant: str, connections: int, kib: int) -> None:
    """Most of a large message, and never the rest."""
    claimed = MESSAGE_BYTES_MAX
    path = METHODS["Insert"].path
    _hold(
        siege,
        connections,
        1,
        tenant,
        lambda raw: raw.call(path, b"\0" * (kib << 10), last=False, claimed=claimed),
    )


def watchers(siege: Siege, *, connections: int, streams: int) -> None:
    """Streams of the health of the server, without a key."""
    _hold(siege, connections, streams, "", lambda raw: raw.call(_WATCH, b""))


def references(siege: Siege, *, connections: int, streams: int, value_bytes: int, times: int) -> None:
    """Header blocks of a few bytes that stand for very long ones."""
    path = METHODS["Search"].path
    _hold(siege, connections, streams, "", lambda raw: raw.refer(path, value_bytes, times))


def _hold(siege: Siege, connections: int, calls: int, tenant: str, begin: Callable[[Raw], bool]) -> None:
    for _ in range(connections):
        try:
            raw = Raw(siege.server.port, key_of(tenant) if tenant else "")
        except OSError:
            continue
        siege.held.append(raw)
        for _ in range(calls):
            if not begin(raw):
                break


def connections(siege: Siege, *, count: int, http: int) -> None:
    """Connections that say nothing."""
    port = siege.server.http_port if http else siege.server.port
    siege.held += [raw for _ in range(count) if (raw := silent(port)) is not None]


def taken_back(siege: Siege, *, tenant: str, count: int, filter: str, terms: int, value_bytes: int) -> None:
    """Searches that nobody waits for any more once they are sent."""
    question = Recipe(1, 0, 0).vector()
    futures = [
        siege.stub.Search.future(
            pb.SearchRequest(
                query_embedding=question, k=10, filter=filter_of(filter, terms, value_bytes, at)
            ),
            metadata=auth(tenant),
        )
        for at in range(count)
    ]
    for future in futures:
        with contextlib.suppress(Exception):
            future.cancel()


def let_go(siege: Siege) -> None:
    """Close what is held open."""
    siege.let_go()
