"""A cache of the answers of language models: LangChain's BaseCache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from os import PathLike
from typing import Any, Final

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.embeddings import Embeddings
from langchain_core.messages import message_to_dict, messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation

import pykyro
from pykyro.integrations.places import Given, Place
from pykyro.integrations.store_collection import StoreCollection

_ANSWER: Final = "answer"
_MODEL: Final = "model"
_NO_VECTOR: Final = [1.0]


class KyroCache(BaseCache):
    """Answers in a collection: of the same prompt to the same model, with `embeddings` of a near one too.

    An answer is kept as JSON; reading it back makes messages and generations and no other class.
    """

    def __init__(
        self,
        collection: str = "langchain.answers",
        *,
        path: str | PathLike[str] | None = None,
        url: str | None = None,
        database: Given | None = None,
        api_key: str | None = None,
        tls: pykyro.Tls | bool = False,
        timeout_s: float = 30.0,
        create: bool = True,
        namespace: str = "",
        embeddings: Embeddings | None = None,
        min_score: float = 0.95,
        ttl: timedelta | float | None = None,
    ) -> None:
        """Where the answers are is said as for a KyroVectorStore. With `embeddings` a prompt is also answered by what
        another one was answered whose cosine with it is at least `min_score`, which is above 0 and at most 1. After
        `ttl`, a timedelta or seconds, an answer goes.

        Raises InvalidArgument, and what `pykyro.open` and `pykyro.Client` raise.
        """
        if not 0.0 < min_score <= 1.0:
            raise pykyro.InvalidArgument(
                f"min_score must be above 0 and at most 1, got {min_score}", field="min_score"
            )
        self._place: Final = Place(
            path=path, url=url, database=database, api_key=api_key, tls=tls, timeout_s=timeout_s
        )
        self._collection: Final = StoreCollection(self._place, collection, create=create)
        self._namespace: Final = namespace
        self._embeddings: Final = embeddings
        self._min_score: Final = min_score
        self._ttl: Final = ttl

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The answer, or None."""
        collection = self._collection.to_read()
        if collection is None:
            return None
        known: Any = collection.get(_id(prompt, llm_string), self._namespace, include_vector=False)
        if known is None and self._embeddings is not None:
            near = self._near(llm_string)
            known = next(iter(collection.search(self._embeddings.embed_query(prompt), 1, **near)), None)
        return None if known is None else _answer(known.metadata[_ANSWER])

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """`lookup` for coroutines."""
        collection = await self._collection.ato_read()
        if collection is None:
            return None
        known = await collection.get(_id(prompt, llm_string), self._namespace, include_vector=False)
        if known is None and self._embeddings is not None:
            vector = await self._embeddings.aembed_query(prompt)
            known = next(iter(await collection.search(vector, 1, **self._near(llm_string))), None)
        return None if known is None else _answer(known.metadata[_ANSWER])

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep an answer. Raises InvalidArgument for one that is no JSON, or too large (1 MiB)."""
        kept = _kept(llm_string, return_val)
        vector = _NO_VECTOR if self._embeddings is None else self._embeddings.embed_query(prompt)
        collection = self._collection.to_write(len(vector))
        collection.insert(_id(prompt, llm_string), vector, kept, self._namespace, ttl=self._ttl)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """`update` for coroutines."""
        kept = _kept(llm_string, return_val)
        vector = _NO_VECTOR if self._embeddings is None else await self._embeddings.aembed_query(prompt)
        collection = await self._collection.ato_write(len(vector))
        await collection.insert(_id(prompt, llm_string), vector, kept, self._namespace, ttl=self._ttl)

    def clear(self, **kwargs: Any) -> None:
        """Forget all answers, those of the namespace if there is one."""
        if (collection := self._collection.to_read()) is not None:
            collection.clear(self._namespace)

    async def aclear(self, **kwargs: Any) -> None:
        """`clear` for coroutines."""
        if (collection := await self._collection.ato_read()) is not None:
            await collection.clear(self._namespace)

    def close(self) -> None:
        """Close what the cache opened. Closing twice is allowed."""
        self._place.close()

    async def aclose(self) -> None:
        """`close` for coroutines; it also closes the client of this event loop."""
        await self._place.aclose()

    def _near(self, llm_string: str) -> dict[str, Any]:
        return {
            "filter": {_MODEL: _digest(llm_string)},
            "min_score": self._min_score,
            "namespace": self._namespace,
        }


def _digest(*texts: str) -> str:
    # The length of each part stands before it, so that no two pairs of texts are one.
    return hashlib.sha256(
        "".join(f"{len(text)}:{text}" for text in texts).encode("utf-8", "surrogatepass")
    ).hexdigest()


def _id(prompt: str, llm_string: str) -> str:
    return _digest(prompt, llm_string)


def _kept(llm_string: str, answer: Sequence[Generation]) -> dict[str, str]:
    listed = []
    for one in answer:
        entry: dict[str, Any] = {"info": one.generation_info}
        if isinstance(one, ChatGeneration):
            entry["message"] = message_to_dict(one.message)
        else:
            entry["text"] = one.text
        listed.append(entry)
    try:
        return {_MODEL: _digest(llm_string), _ANSWER: json.dumps(listed, ensure_ascii=False)}
    except (TypeError, ValueError) as error:
        raise pykyro.InvalidArgument(
            f"the answer cannot be kept as JSON: {error}", field="return_val"
        ) from error


def _answer(text: str) -> list[Generation]:
    answer: list[Generation] = []
    for entry in json.loads(text):
        if "message" in entry:
            message: Any = messages_from_dict([entry["message"]])[0]
            answer.append(ChatGeneration(message=message, generation_info=entry["info"]))
        else:
            answer.append(Generation(text=entry["text"], generation_info=entry["info"]))
    return answer
