"""What clients in good faith do: each step is a function with the siege and its numbers.

Documents of a tenant are numbered; a step works on `count` of them from `first` on.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc
from tests.siege.documents import Key, Recipe, text
from tests.siege.finding import Finding
from tests.siege.session import ADMIN_KEY, CALL_S, STEP_S, Done, Siege, auth, nothing

from pykyro.proto import kyrodb_pb2 as pb

READS_S: Final = 60.0
"""After that a read that was refused every time is a finding."""


def insert(
    siege: Siege,
    *,
    tenant: str,
    first: int,
    count: int,
    keys: int,
    text_bytes: int,
    own_keys: int,
    at_once: int,
) -> None:
    """Documents one by one, new ones and replacements."""

    def calls() -> Iterator[tuple[pb.InsertRequest, Done]]:
        for number in range(first, first + count):
            recipe = Recipe(siege.next_serial(), keys, text_bytes, bool(own_keys))
            yield request_of(number, recipe), _stored(siege, (tenant, number), recipe)

    siege.run("Insert", tenant, calls(), at_once=at_once)


def request_of(number: int, recipe: Recipe) -> pb.InsertRequest:
    return pb.InsertRequest(doc_id=number, embedding=recipe.vector(), metadata=recipe.metadata())


def _stored(siege: Siege, key: Key, recipe: Recipe) -> Done:
    def done(answer: Any) -> None:
        siege.documents.put(key, recipe, sure=answer is not None and answer.success)

    return done


def bulk_insert(
    siege: Siege, *, tenant: str, first: int, count: int, keys: int, text_bytes: int, own_keys: int
) -> None:
    """Documents in one stream."""
    sent: list[tuple[Key, Recipe]] = []

    def messages() -> Iterator[pb.InsertRequest]:
        for number in range(first, first + count):
            recipe = Recipe(siege.next_serial(), keys, text_bytes, bool(own_keys))
            sent.append(((tenant, number), recipe))
            yield request_of(number, recipe)

    answer = None
    try:
        answer = siege.stub.BulkInsert(messages(), metadata=auth(tenant), timeout=3 * CALL_S)
        siege.count(grpc.StatusCode.OK)
    except grpc.RpcError as error:
        siege.count(error.code())
    for at, (key, recipe) in enumerate(list(sent)):
        if answer is None:
            siege.documents.put(key, recipe, sure=False)
        elif at not in {refusal.position for refusal in answer.refusals}:
            siege.documents.put(key, recipe, sure=True)


def merge(
    siege: Siege, *, tenant: str, first: int, count: int, times: int, value_bytes: int, at_once: int
) -> None:
    """A small entry laid over each document, `times` times; merges of one document come one after another."""
    numbers = [number for number in siege.documents.present(tenant) if first <= number < first + count] or [
        first
    ]
    serials, end = itertools.count(), time.monotonic() + 2 * STEP_S
    for turn in range(times):
        name = f"m{turn % 8}"

        def calls(name: str = name) -> Iterator[tuple[pb.UpdateMetadataRequest, Done]]:
            for number in numbers:
                value = text(next(serials), value_bytes)
                request = pb.UpdateMetadataRequest(doc_id=number, metadata={name: value}, merge=True)
                yield request, _merged(siege, (tenant, number), name, value)

        siege.run("UpdateMetadata", tenant, calls(), at_once=at_once)
        if time.monotonic() > end:
            return


def _merged(siege: Siege, key: Key, name: str, value: str) -> Done:
    def done(answer: Any) -> None:
        siege.documents.merge(key, name, value, sure=answer is not None and answer.success)

    return done


def delete(siege: Siege, *, tenant: str, first: int, count: int, at_once: int) -> None:
    """Documents one by one, there or not."""

    def calls() -> Iterator[tuple[pb.DeleteRequest, Done]]:
        for number in range(first, first + count):
            key = (tenant, number)

            def done(answer: Any, key: Key = key) -> None:
                siege.documents.put(key, None, sure=answer is not None and answer.success)

            yield pb.DeleteRequest(doc_id=number), done

    siege.run("Delete", tenant, calls(), at_once=at_once)


def batch_delete(siege: Siege, *, tenant: str, first: int, count: int) -> None:
    """Documents by their ids, all or none."""
    numbers = range(first, first + count)

    def done(answer: Any) -> None:
        for number in numbers:
            siege.documents.put((tenant, number), None, sure=answer is not None and answer.success)

    request = pb.BatchDeleteRequest(ids=pb.IdList(doc_ids=numbers))
    siege.run("BatchDelete", tenant, [(request, done)], at_once=1)


def search(
    siege: Siege,
    *,
    tenant: str,
    count: int,
    k: int,
    filter: str,
    terms: int,
    value_bytes: int,
    at_once: int,
) -> None:
    """Searches, each for another vector and with another filter."""

    def calls() -> Iterator[tuple[pb.SearchRequest, Done]]:
        for _ in range(count):
            serial = siege.next_serial()
            question = Recipe(serial, 0, 0).vector()
            wanted = filter_of(filter, terms, value_bytes, serial)
            yield pb.SearchRequest(query_embedding=question, k=k, filter=wanted), nothing

    siege.run("Search", tenant, calls(), at_once=at_once)


def filter_of(kind: str, terms: int, value_bytes: int, serial: int) -> pb.MetadataFilter:
    """A filter of so many terms with values of so many bytes; another one for each serial."""
    values = [text(serial * 5003 + at, value_bytes) for at in range(terms)]
    match kind:
        case "in":
            return pb.MetadataFilter(in_match=pb.InMatch(key="k0", values=values))
        case "ranges":
            ranges = (pb.MetadataFilter(range=pb.RangeMatch(key="k0", gte=value)) for value in values)
            return pb.MetadataFilter(or_filter=pb.OrFilter(filters=ranges))
        case "not":
            exact = (pb.MetadataFilter(exact=pb.ExactMatch(key="k0", value=value)) for value in values)
            nots = (pb.MetadataFilter(not_filter=pb.NotFilter(filter=one)) for one in exact)
            return pb.MetadataFilter(and_filter=pb.AndFilter(filters=nots))
    return pb.MetadataFilter()


def bulk_query(siege: Siege, *, tenant: str, first: int, times: int, count: int, at_once: int) -> None:
    """Look-ups that name one document `times` times each."""
    request = pb.BulkQueryRequest(doc_ids=[first] * times, include_embeddings=True)
    siege.run("BulkQuery", tenant, [(request, nothing)] * count, at_once=at_once)


def flush(siege: Siege) -> None:
    """Seal the hot tier."""
    with contextlib.suppress(grpc.RpcError):
        siege.stub.FlushHotTier(
            pb.FlushRequest(force=True), metadata=(("x-api-key", ADMIN_KEY),), timeout=CALL_S
        )


def restart(siege: Siege) -> None:
    """SIGTERM, and a new start."""
    siege.restart(kill=False)
    check_documents(siege)


def kill(siege: Siege) -> None:
    """SIGKILL, and a new start."""
    siege.restart(kill=True)
    check_documents(siege)


def check_documents(siege: Siege, keys: list[Key] | None = None) -> None:
    """Read documents, all of them unless given. Raises Finding when one is not what it may be, or cannot be read.

    Reads may be refused for a while.
    """
    wrong: list[str] = []
    left, end = siege.documents.keys() if keys is None else keys, time.monotonic() + READS_S
    while left:
        unread: list[Key] = []
        for tenant in sorted({key[0] for key in left}):
            own = [key for key in left if key[0] == tenant]
            calls = ((pb.QueryRequest(doc_id=key[1]), _seen(siege, key, wrong, unread)) for key in own)
            unread += own[siege.run("Query", tenant, calls, at_once=8) :]
        if wrong:
            raise Finding("lost", "; ".join(wrong[:3]) + f" ({len(wrong)} documents)")
        if unread and time.monotonic() > end:
            first = f"{len(unread)} documents cannot be read for {READS_S:.0f} s, {unread[0]} among them"
            raise Finding("unread", f"{first}: {siege.last_error}")
        left = unread
        time.sleep(0.25 if unread else 0)


def _seen(siege: Siege, key: Key, wrong: list[str], unread: list[Key]) -> Done:
    def done(answer: Any) -> None:
        if answer is None:
            unread.append(key)
        elif fault := siege.documents.wrong(key, dict(answer.metadata) if answer.found else None):
            wrong.append(fault)

    return done
