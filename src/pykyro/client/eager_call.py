"""Coroutine methods that check and copy their arguments when they are called, not when they are awaited.

    tasks = [asyncio.create_task(db.insert(n, fill(buffer, n))) for n in range(100)]

A coroutine starts when it is awaited, and none of these is awaited before the loop runs: each would store the last
content of the buffer. So the first part of such a method, up to `arguments_taken`, runs during the call; an error in
it is raised where the method is awaited, as for any other coroutine.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, ParamSpec, TypeVar, cast

Result = TypeVar("Result")
Given = ParamSpec("Given")

_TAKEN: Final = object()


@types.coroutine
def arguments_taken() -> Generator[object, None, None]:
    """Await this where all arguments are checked and copied, and nothing else before."""
    yield _TAKEN


def eager(
    method: Callable[Given, Coroutine[Any, Any, Result]],
) -> Callable[Given, Coroutine[Any, Any, Result]]:
    """`method`, an `async def` that awaits `arguments_taken` first, begun when it is called."""
    return cast("Callable[Given, Coroutine[Any, Any, Result]]", _EagerMethod(method))


class _EagerMethod:
    """Looks like the function it calls, so that inspect and asyncio take it for the coroutine function it is."""

    def __init__(self, method: Any) -> None:
        functools.update_wrapper(cast(Any, self), method)
        self._method = method
        self.__code__ = method.__code__
        self.__defaults__ = method.__defaults__
        self.__kwdefaults__ = method.__kwdefaults__

    def __get__(self, instance: object, owner: type) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *given: Any, **named: Any) -> Coroutine[Any, Any, Any]:
        begun = self._method(*given, **named)
        rest: Any
        try:
            begun.send(None)
        except StopIteration as done:
            rest = _ended(done.value, None)
        except Exception as error:
            rest = _ended(None, error)
        else:
            rest = _continued(_Begun(begun))
        rest.__name__, rest.__qualname__ = self._method.__name__, self._method.__qualname__
        return cast("Coroutine[Any, Any, Any]", rest)


class _Begun:
    """A started coroutine as an awaitable, since `await` takes only new ones."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


async def _continued(begun: _Begun) -> Any:
    return await begun


async def _ended(result: Any, error: Exception | None) -> Any:
    if error is not None:
        raise error
    return result
