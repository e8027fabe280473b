"""Bodies on their way in: how large, how slow and how deep they may be; and JSON, read strictly.

What JSON leaves to its readers is an error here: a key that comes twice, NaN and Infinity, half of a surrogate pair,
integers of thousands of digits. What a body will take once it is read is charged before it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from pydantic_core import from_json

from pykyro.memory.budget import Kind, MemoryBudget
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import (
    REST_BODY_BYTES_MAX,
    REST_BODY_S_MAX,
    REST_NODES_MAX,
    REST_SILENT_S_MAX,
)
from pykyro.service.admission import LARGE_BYTES
from pykyro.transport.rest.problems import Problem, too_large

_PLAIN: Final = frozenset({str, int, bool, type(None)})
_NUMBERS: Final = frozenset({int, float})
_DOUBTFUL: Final = -(1 << 62)
_DISCARD_S: Final = 1.0
_DISCARD_BYTES: Final = 1 << 20
_VALUE_BYTES: Final = 32
"""What a number or a short text takes."""
_CONTAINER_BYTES: Final = 200
"""What an object takes beside its values, a list less."""
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class ClientGone(Exception):
    """Nobody is there any more."""


class Incoming:
    """The body of one request. Used on the loop of the HTTP port."""

    def __init__(
        self,
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        memory: MemoryBudget,
        length: int | None,
    ) -> None:
        """`length` is what its headers say, None where they say nothing."""
        self._receive = receive
        self._memory = memory
        self._length = length
        self.ended = False
        """Whether all of it has come."""

    async def chunks(self, within_s: float | None = None) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Problem when it comes too slowly, ClientGone."""
        loop = asyncio.get_running_loop()
        end_s = None if within_s is None else loop.time() + within_s
        while not self.ended:
            wait_s = REST_SILENT_S_MAX
            if end_s is not None:
                wait_s = min(wait_s, end_s - loop.time())
            try:
                async with asyncio.timeout(max(0.0, wait_s)):
                    event = await self._receive()
            except TimeoutError:
                raise Problem(
                    "DEADLINE_EXCEEDED",
                    f"the body came too slowly: nothing for {REST_SILENT_S_MAX:g} s, or not all of it in "
                    f"{REST_BODY_S_MAX:g} s",
                    status=408,
                ) from None
            if event["type"] != "http.request":
                raise ClientGone
            self.ended = not event.get("more_body", False)
            if chunk := event.get("body", b""):
                yield chunk

    async def whole(self, bytes_max: int, kind: Kind | None) -> bytes:
        """All of it, which is charged to the budget while it comes. Raises Problem, ResourceExhausted, ClientGone."""
        if self._length is not None and self._length > bytes_max:
            raise too_large(f"the body has {self._length} bytes; the maximum is {bytes_max}")
        if kind is not None and self._length is not None and self._length > LARGE_BYTES:
            self._memory.admit(kind, self._length)
        parts: list[bytes] = []
        size = 0
        with self._memory.account("requests").charge() as charge:
            async for chunk in self.chunks(REST_BODY_S_MAX):
                size += len(chunk)
                if size > bytes_max:
                    raise too_large(f"the body has more than {bytes_max} bytes, the maximum")
                if size > LARGE_BYTES:
                    charge.set(2 * size)
                parts.append(chunk)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    async def discard(self) -> None:
        """Take a little more of a body that is not wanted: a client that is cut off while it sends does not see the
        answer. Raises ClientGone."""
        size = 0
        with contextlib.suppress(Problem):
            async for chunk in self.chunks(_DISCARD_S):
                size += len(chunk)
                if size > _DISCARD_BYTES:
                    return


def weight_of(data: bytes) -> int:
    """About what this JSON takes once it is read, texts counted generously. Raises Problem when it holds too much."""
    nodes = data.count(b",") + data.count(b":")
    containers = data.count(b"{") + data.count(b"[")
    if nodes + containers > REST_NODES_MAX:
        raise too_large(
            f"the body has about {nodes + containers} values; the maximum is {REST_NODES_MAX}: send fewer documents "
            "at once, or a stream of lines"
        )
    return 4 * len(data) + _VALUE_BYTES * nodes + _CONTAINER_BYTES * containers


def parse_json(data: bytes, what: str = "the body") -> Any:
    """The JSON in these bytes. Raises InvalidArgument."""
    try:
        tree = from_json(data, allow_inf_nan=False)
    except ValueError:
        return _read_strictly(data, what)
    # A fast reader, which of a key that comes twice keeps the last and makes numbers infinite.
    return tree if _keys_in(tree) == data.count(b":") else _read_strictly(data, what)


def _keys_in(tree: Any) -> int:
    """How many keys the objects in it have; fewer are found where something in it needs a second look."""
    if type(tree) is dict:
        return len(tree) + sum([_keys_in(inner) for inner in tree.values() if type(inner) not in _PLAIN])
    if type(tree) is list:
        if tree and type(tree[0]) in _NUMBERS and set(map(type, tree)) <= _NUMBERS:
            return _DOUBTFUL if math.inf in tree or -math.inf in tree else 0
        return sum([_keys_in(inner) for inner in tree if type(inner) not in _PLAIN])
    return _DOUBTFUL if type(tree) is float and math.isinf(tree) else 0


def _read_strictly(data: bytes, what: str) -> Any:
    """The JSON in these bytes, with the words for what is wrong. Raises InvalidArgument."""
    try:
        text = data.decode()
        tree = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse,
            parse_float=_finite,
        )
        if _SURROGATE.search(text):
            json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            f"{what} is not UTF-8 at byte {error.start}: {error.reason}", field="body"
        ) from None
    except UnicodeEncodeError:
        raise InvalidArgument(
            f"{what} has half of a surrogate pair, which is no character", field="body"
        ) from None
    except RecursionError:
        raise InvalidArgument(f"{what} is nested too deep", field="body") from None
    except ValueError as error:
        raise InvalidArgument(f"{what} is not JSON: {str(error)[:200]}", field="body") from None
    return tree


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:60]!r} comes twice in one object")
            seen.add(key)
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is too large for a float")
    return number


async def lines_of(chunks: AsyncIterator[bytes], hold: Callable[[int], None]) -> AsyncIterator[list[bytes]]:
    """The lines that each chunk completes, without their ends; `hold` is told what a long one takes. Raises Problem
    for one that is too long, ResourceExhausted."""
    rest = bytearray()
    async for chunk in chunks:
        at = chunk.rfind(b"\n")
        if at < 0:
            rest += chunk
            if len(rest) > REST_BODY_BYTES_MAX:
                raise too_large(f"a line has more than {REST_BODY_BYTES_MAX} bytes, the maximum")
            if len(rest) > LARGE_BYTES:
                hold(2 * len(rest))
            continue
        whole = bytes(rest) + chunk[:at]
        rest = bytearray(chunk[at + 1 :])
        yield whole.split(b"\n")
    if rest:
        yield [bytes(rest)]
