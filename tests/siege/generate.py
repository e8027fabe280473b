"""Scripts from seeds: steps that lawful and hostile clients may take in any order, of any size.

Now and then a play is put in: steps that belong together and once brought a server down.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final, TypeAlias

from tests.siege.script import Script, Step, step
from tests.siege.session import TENANTS

STEPS: Final = 14
LIMITS_MIB: Final = (512, 768, 1024)
_PLAYS_SHARE: Final = 0.2
_BESIDE_SHARE: Final = 0.4
_CHANGE_NOTHING: Final = (
    "search",
    "bulk_query",
    "taken_back",
    "half_open",
    "slow_reader",
    "half_messages",
    "watchers",
    "references",
    "connections",
)
"""Steps after which every document is what it was: what is done beside them can be judged."""
_NUMBERS: Final = 6_000
_METADATA_BYTES: Final = 1 << 20
_KEY_BYTES: Final = 12
"""About what the name of a key takes, which counts too."""
_ONE_DOCUMENT: Final = 1_000_000

Make: TypeAlias = Callable[[random.Random], Step]


def script_of(seed: int) -> Script:
    """The script of a seed, always the same one."""
    rng = random.Random(seed)
    steps: list[Step] = [_bulk_insert(rng)]
    while len(steps) < STEPS:
        if rng.random() < _PLAYS_SHARE:
            steps += PLAYS[rng.choice(sorted(PLAYS))]
        else:
            made = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0](rng)
            beside = made.do in _CHANGE_NOTHING and rng.random() < _BESIDE_SHARE
            steps.append(Step(made.do, made.given | {"beside": 1}) if beside else made)
    return Script(tuple(steps), rng.choice(LIMITS_MIB))


def _about(rng: random.Random, least: int, most: int) -> int:
    """As often between 10 and 100 as between 100 and 1000."""
    return round(math.exp(rng.uniform(math.log(least), math.log(most))))


def _size(rng: random.Random, total: int) -> dict[str, int]:
    """Of a document, and how many of it are so many bytes together."""
    text_bytes = _about(rng, 1, _ONE_DOCUMENT)
    keys = _about(rng, 1, 1000)
    keys = min(keys, max(1, (_METADATA_BYTES - text_bytes) // _KEY_BYTES))
    count = max(1, min(_NUMBERS, total // (text_bytes + keys * _KEY_BYTES)))
    return {"count": count, "keys": keys, "text_bytes": text_bytes, "own_keys": rng.randrange(2)}


def _where(rng: random.Random) -> dict[str, int | str]:
    return {"tenant": rng.choice(TENANTS), "first": rng.randrange(1, _NUMBERS)}


def _insert(rng: random.Random) -> Step:
    sized = _size(rng, _about(rng, 1 << 12, 1 << 25))
    sized["count"] = min(sized["count"], 300)
    return step("insert", **_where(rng), **sized, at_once=_about(rng, 1, 64))


def _bulk_insert(rng: random.Random) -> Step:
    return step("bulk_insert", **_where(rng), **_size(rng, _about(rng, 1 << 20, 1 << 27)))


def _merge(rng: random.Random) -> Step:
    count = _about(rng, 1, 1000)
    times = max(1, _about(rng, 1, 1000) // count)
    size = _about(rng, 1, 1000)
    where = _where(rng) | {"first": 1 if rng.random() < 0.5 else rng.randrange(1, _NUMBERS)}
    return step("merge", **where, count=count, times=times, value_bytes=size, at_once=_about(rng, 1, 1000))


def _delete(rng: random.Random) -> Step:
    if rng.random() < 0.5:
        return step("batch_delete", **_where(rng), count=_about(rng, 1, 3000))
    return step("delete", **_where(rng), count=_about(rng, 1, 500), at_once=_about(rng, 1, 64))


def _search(rng: random.Random) -> Step:
    kind, terms, value_bytes = _filter(rng)
    return step(
        "search",
        tenant=rng.choice(TENANTS),
        count=_about(rng, 1, 200),
        k=_about(rng, 1, 1000),
        filter=kind,
        terms=terms,
        value_bytes=value_bytes,
        at_once=_about(rng, 1, 64),
    )


def _filter(rng: random.Random) -> tuple[str, int, int]:
    terms = _about(rng, 1, 4090)
    return rng.choice(("", "in", "ranges", "not")), terms, _about(rng, 1, max(2, 3_500_000 // terms - 40))


def _bulk_query(rng: random.Random) -> Step:
    times, count, at_once = _about(rng, 1, 10_000), _about(rng, 1, 20), _about(rng, 1, 8)
    return step("bulk_query", **_where(rng), times=times, count=count, at_once=at_once)


def _half_open(rng: random.Random) -> Step:
    rpc, tenant = rng.choice(("BulkSearch", "BulkInsert")), rng.choice(TENANTS)
    connections, streams = _about(rng, 1, 30), _about(rng, 1, 200)
    return step("half_open", tenant=tenant, rpc=rpc, connections=connections, streams=streams)


def _slow_reader(rng: random.Random) -> Step:
    rpc, connections, requests = (
        rng.choice(("Search", "BulkQuery")),
        _about(rng, 1, 30),
        _about(rng, 1, 1000),
    )
    k = _about(rng, 1, 1000)
    return step("slow_reader", **_where(rng), rpc=rpc, connections=connections, requests=requests, k=k)


def _half_messages(rng: random.Random) -> Step:
    return step(
        "half_messages",
        tenant=rng.choice(TENANTS),
        connections=_about(rng, 1, 200),
        kib=_about(rng, 1, 3_900),
    )


def _watchers(rng: random.Random) -> Step:
    return step("watchers", connections=_about(rng, 1, 30), streams=_about(rng, 1, 1000))


def _references(rng: random.Random) -> Step:
    return step(
        "references",
        connections=_about(rng, 1, 30),
        streams=_about(rng, 1, 300),
        value_bytes=_about(rng, 100, 3_900),
        times=_about(rng, 1, 4_000),
    )


def _connections(rng: random.Random) -> Step:
    return step("connections", count=_about(rng, 1, 1500), http=rng.randrange(2))


def _taken_back(rng: random.Random) -> Step:
    kind, terms, value_bytes = _filter(rng)
    tenant, count = rng.choice(TENANTS), _about(rng, 1, 200)
    return step("taken_back", tenant=tenant, count=count, filter=kind, terms=terms, value_bytes=value_bytes)


def _plain(do: str) -> Make:
    return lambda rng: step(do)


_WEIGHTS: Final[dict[Make, int]] = {
    _insert: 3,
    _bulk_insert: 4,
    _merge: 4,
    _delete: 2,
    _search: 5,
    _bulk_query: 3,
    _half_open: 2,
    _slow_reader: 3,
    _half_messages: 1,
    _watchers: 1,
    _references: 1,
    _connections: 1,
    _taken_back: 1,
    _plain("flush"): 1,
    _plain("restart"): 1,
    _plain("kill"): 1,
    _plain("let_go"): 2,
}


def _many(batches: int, count: int, *, keys: int, text_bytes: int, own_keys: int = 0) -> tuple[Step, ...]:
    """Documents of one tenant, in so many streams."""
    return tuple(
        step(
            "bulk_insert",
            tenant=TENANTS[0],
            first=1 + at * count,
            count=count,
            keys=keys,
            text_bytes=text_bytes,
            own_keys=own_keys,
        )
        for at in range(batches)
    )


def _questions(count: int, filter: str, terms: int, value_bytes: int) -> Step:
    return step(
        "search",
        tenant=TENANTS[0],
        count=count,
        k=10,
        filter=filter,
        terms=terms,
        value_bytes=value_bytes,
        at_once=4,
    )


_OF_THE_FIRST: Final[dict[str, int | str]] = {"tenant": TENANTS[0], "first": 1}

LAWFUL: Final[dict[str, tuple[Step, ...]]] = {
    "570 MB of text": (*_many(6, 950, keys=1, text_bytes=100_000), step("kill"), step("restart")),
    "a thousand keys each": (*_many(5, 884, keys=1000, text_bytes=6000, own_keys=1), step("kill")),
    "tiny merges of one large document": (
        *_many(1, 1, keys=10, text_bytes=1_000_000),
        step("merge", **_OF_THE_FIRST, count=1, times=1062, value_bytes=900, at_once=1),
    ),
    "a thousand updates of large documents": (
        *_many(4, 250, keys=4, text_bytes=1_000_000),
        step("merge", **_OF_THE_FIRST, count=1000, times=1, value_bytes=30, at_once=1000),
    ),
}

HOSTILE: Final[dict[str, tuple[Step, ...]]] = {
    "one document ten thousand times": (
        *_many(1, 1, keys=1, text_bytes=1_040_000),
        step("bulk_query", **_OF_THE_FIRST, times=10_000, count=3, at_once=3),
    ),
    "answers of 200 MiB": (
        *_many(1, 210, keys=1, text_bytes=1_040_000),
        step("slow_reader", **_OF_THE_FIRST, rpc="Search", connections=30, requests=1, k=200),
        step("let_go"),
    ),
    "four thousand requests that nobody reads": (
        *_many(1, 200, keys=4, text_bytes=20_000),
        step("slow_reader", **_OF_THE_FIRST, rpc="Search", connections=1, requests=4000, k=100),
    ),
    "new filter values of megabytes": (
        *_many(1, 100, keys=2, text_bytes=200),
        _questions(150, "in", 1, 3_900_000),
    ),
    "references in headers": (
        step("references", connections=20, streams=100, value_bytes=3_900, times=4_000),
    ),
    "ten thousand watchers": (step("watchers", connections=10, streams=1000), step("restart")),
    "four thousand ranges": (
        *_many(1, 4000, keys=3, text_bytes=60),
        _questions(60, "ranges", 4090, 12),
    ),
}

PLAYS: Final = LAWFUL | HOSTILE
