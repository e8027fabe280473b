"""The error tree: one class per decision a caller can take.

    KyroError
    ├── InvalidArgument        the request is wrong; sending it again cannot help
    ├── ResourceExhausted      there is no room, rate or quota for it now
    ├── Aborted                the condition of a write does not hold: read again, decide anew
    ├── FailedPrecondition     right request, wrong state of the database
    ├── NotFound               the collection that is named does not exist
    ├── AlreadyExists          the name is taken
    ├── PermissionDenied       the caller may not do this
    ├── Unauthenticated        the caller did not say, or not truly, who it is
    ├── DeadlineExceeded       the time allowed ran out
    ├── Unavailable            the database cannot do it now (disk trouble, closing); retry later
    ├── ConfigError            the configuration cannot work; names the key
    └── StorageError           carries path, offset and what to do next
        ├── DataDamaged        bytes on disk are not what was written there
        ├── DataDirInUse       another process holds the directory
        ├── DataDirMismatch    the directory belongs to other settings or another format
        └── WriteFailed        the disk refused a write, an fsync or a rename

Every message states the field or file, the value met and the bound or the way out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

CAUSES_MAX: Final = 20
"""Number of causes of an error that are shown; more say nothing new."""


class Portable(Exception):
    """An error that can be pickled and copied, whatever it is made from."""

    def __reduce__(self) -> tuple[object, ...]:
        # Python would call the class with the message alone, which is not what every class is made from.
        return _as_it_was, (type(self), self.args, self.__dict__)


class KyroError(Portable):
    """Base of every error KyroDB raises on purpose."""


def _as_it_was(kind: type[Portable], args: tuple[object, ...], state: Mapping[str, object]) -> Portable:
    """An error as it was when it was pickled or copied."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidArgument(KyroError):
    """The request is wrong: the message names the field, the value and the bound."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ResourceExhausted(KyroError):
    """No room, rate or quota. `retry_after_s` is None when waiting alone cannot help."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class FailedPrecondition(KyroError):
    """The database is not in a state that allows the request."""


class NotFound(KyroError):
    """What the request names does not exist."""


class AlreadyExists(KyroError):
    """The name is taken."""


class Aborted(KyroError):
    """The condition of a write does not hold: somebody else changed the document. Nothing was changed; read again,
    and decide anew."""


class PermissionDenied(KyroError):
    """The caller is known and may not do this."""


class Unauthenticated(KyroError):
    """No key, or one that opens nothing."""


class DeadlineExceeded(KyroError):
    """The time allowed for the request ran out."""


class Unavailable(KyroError):
    """Not now: the disk is in trouble, or the database is starting or closing."""


class ConfigError(KyroError):
    """The configuration cannot work. One line per fault, each naming its key."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def printable(path: Path | str) -> str:
    """The path as text that can be written anywhere, on one line: names may hold any byte but two."""
    # A name of an ASCII locale stands for its bytes; one that is text already, for itself.
    text = str(path)
    with contextlib.suppress(UnicodeEncodeError):
        text = os.fsencode(path).decode("utf-8", "backslashreplace")
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class StorageError(KyroError):
    """Something is wrong with a file: which one, where in it, and what an operator does next."""

    def __init__(self, reason: str, *, path: Path | str, offset: int | None = None, hint: str = "") -> None:
        where = printable(path) if offset is None else f"{printable(path)} at byte {offset}"
        super().__init__(f"{where}: {reason}" + (f". {hint}" if hint else ""))
        self.reason = reason
        self.path = Path(path)
        self.offset = offset
        self.hint = hint


class DataDamaged(StorageError):
    """Bytes on disk differ from those that were written. Never repaired silently, never skipped."""


class DataDirInUse(StorageError):
    """Another process holds the directory; `owner_pid` is its pid, 0 when unknown."""

    def __init__(self, reason: str, *, path: Path | str, owner_pid: int, hint: str = "") -> None:
        super().__init__(reason, path=path, hint=hint)
        self.owner_pid = owner_pid


class DataDirMismatch(StorageError):
    """The directory was made with another dimension, metric or format version."""


class WriteFailed(StorageError):
    """The operating system refused a write, an fsync, a rename or a directory fsync."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """The chain of causes of an error: each once, so that a circle has an end, and at most
    CAUSES_MAX."""
    return islice(_causes(error), CAUSES_MAX)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    cause = error.__cause__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


class CallError(Exception):
    """What a call was doing when the database refused: the client reads "{doing}: {cause}"."""

    def __init__(self, doing: str, cause: KyroError) -> None:
        super().__init__(doing, cause)
        self.cause = cause

    def __str__(self) -> str:
        return "{}: {}".format(*self.args)
