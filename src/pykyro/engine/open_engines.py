"""The engines that are open in this process: how they end when it forks, and when it exits."""

from __future__ import annotations

import atexit
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn
from weakref import WeakSet

from pykyro.model.errors import FailedPrecondition, KyroError

if TYPE_CHECKING:
    from pykyro.engine.engine import Engine

_log: Final = logging.getLogger(__name__)
_engines: Final[WeakSet[Engine]] = WeakSet()
_closed_at_exit: Final[WeakSet[Engine]] = WeakSet()
_process = os.getpid()

PARTS: Final = (
    "_context",
    "writes",
    "reads",
    "listing",
    "_recall",
    "_expiration",
    "_maintenance",
    "following",
    "_writer",
    "_keeper",
    "_threads",
)
"""Of an engine, which are of no use in a forked child."""


def note_opened(engine: Engine) -> None:
    """From here on the engine is of no use in a forked child."""
    _engines.add(engine)


def close_at_exit(engine: Engine) -> None:
    """Have the engine closed when the interpreter ends, unless that was done before."""
    _closed_at_exit.add(engine)


def close_quietly(engine: Engine) -> None:
    """Close an engine that its program did not close; an error is logged, since no caller is there to receive it."""
    try:
        engine.close()
    except KyroError as error:
        _log.error("closing %s: %s", engine.directory, error)


def refusal_of_inherited(directory: Path, owner: int) -> str:
    """What a forked child is told that uses the engine which process `owner` opened."""
    return (
        f"{directory} was opened by process {owner}, and this is process {os.getpid()}, forked from it. Only the "
        "process that opened a database can use it: open it again here once the other has closed it, or let the "
        "other do the work"
    )


class Inherited:
    """Stands for the parts of an engine in a forked child. Their files and their lock are the parent's, their threads
    do not exist here, and their locks may be held by one of those for ever."""

    def __init__(self, parts: object, refusal: str) -> None:
        self._parts = parts
        """Kept as they are: letting go of them would be work for them."""
        self._refusal = refusal

    def __getattr__(self, name: str) -> NoReturn:
        raise FailedPrecondition(self._refusal)


def _detach_in_child() -> None:
    global _process
    owner, _process = _process, os.getpid()
    for engine in list(_engines):
        engine.disinherit(owner)
    _engines.clear()
    _closed_at_exit.clear()


def _close_all() -> None:
    for engine in list(_closed_at_exit):
        close_quietly(engine)


os.register_at_fork(after_in_child=_detach_in_child)
atexit.register(_close_all)
