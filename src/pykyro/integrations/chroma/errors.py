"""The errors that programs written for Chroma catch, and the one for calls that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pykyro


class ChromaError(Exception):
    """Above the errors of this package that Chroma has by the same name."""


class NotFoundError(ChromaError):
    """There is no such collection."""


class InternalError(ChromaError):
    """The name of a collection is taken; Chroma has no name of its own for it."""


class InvalidArgumentError(ChromaError):
    """A value is refused: a name, a vector, its dimension."""


class DuplicateIDError(ChromaError):
    """An id is twice in one call."""


class AuthorizationError(ChromaError):
    """The call is not allowed by the settings."""


class NotSupported(NotImplementedError):
    """Chroma has this call and KyroDB has not; the message names the way out."""


@contextmanager
def chroma_errors(name: str) -> Iterator[None]:
    """Around the calls for collection `name`: what Chroma has an error for becomes that one."""
    try:
        yield
    except pykyro.NotFound as error:
        raise NotFoundError(f"Collection [{name}] does not exist") from error
    except pykyro.InvalidArgument as error:
        raise InvalidArgumentError(str(error)) from error
