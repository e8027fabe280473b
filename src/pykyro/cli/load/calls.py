"""The calls of a load, made as bytes: a client that builds and reads messages would be slower than the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, Final

from pykyro.cli.load import dataset
from pykyro.cli.load.open_loop import Call
from pykyro.model.types import Matrix
from pykyro.proto import kyrodb_pb2 as pb

NO_RESULTS: Final = "no results"
ANSWERS_MAX: Final = 200
"""Of which the ids are kept."""


class Calls:
    """Searches and writes over one channel."""

    def __init__(
        self,
        rpcs: Mapping[str, Callable[..., Awaitable[Any]]],
        stored: Matrix,
        wanted: Matrix,
        *,
        collection: str,
        timeout_s: float,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        self._search, self._insert = rpcs["Search"], rpcs["Insert"]
        self._searches = dataset.search_requests(wanted, collection)
        self._inserts = dataset.insert_requests(stored, collection)
        self._how = {"timeout": timeout_s, "metadata": metadata}
        self.answers: list[tuple[int, list[int]]] = []
        """Of the first searches: the number of the query, and the ids that were found."""

    async def search(self, number: int) -> str:
        """Search for one query; see open_loop.Call."""
        at = number % len(self._searches)
        answer = pb.SearchResponse.FromString(await self._search(self._searches[at], **self._how))
        if not answer.results:
            return NO_RESULTS
        if len(self.answers) < ANSWERS_MAX:
            self.answers.append((at, [result.doc_id for result in answer.results]))
        return ""

    async def insert(self, number: int) -> str:
        """Store one document again."""
        await self._insert(self._inserts[number % len(self._inserts)], **self._how)
        return ""

    def mixed(self, write_ratio: float) -> Call:
        """Searches, of which this share are writes instead; the same ones in each run."""

        async def call(number: int) -> str:
            is_write = write_ratio > 0 and Random(number).random() < write_ratio
            return await (self.insert(number) if is_write else self.search(number))

        return call
