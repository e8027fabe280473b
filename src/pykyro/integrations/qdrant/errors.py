"""The errors that programs written for Qdrant catch, and the one for calls that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pykyro


class ApiException(Exception):
    """Above the errors of an answer."""


class UnexpectedResponse(ApiException, ValueError):
    """A call was refused. A ValueError too, as qdrant_client raises where it works in the program's own process."""

    def __init__(self, status_code: int, reason: str) -> None:
        """`status_code` is that of HTTP which Qdrant's server answers: 400, 404, 409."""
        super().__init__(reason)
        self.status_code = status_code
        self.reason_phrase = reason

    def __reduce__(self) -> tuple[object, ...]:
        # Python would call the class with the message alone.
        return type(self), (self.status_code, self.reason_phrase), self.__dict__


class NotSupported(NotImplementedError):
    """Qdrant has this and KyroDB has not; the message names the way out."""


@contextmanager
def qdrant_errors(name: str) -> Iterator[None]:
    """Around the calls for collection `name`: what Qdrant has an error for becomes that one."""
    try:
        yield
    except pykyro.NotFound as error:
        raise UnexpectedResponse(404, f"Collection {name} not found") from error
    except pykyro.InvalidArgument as error:
        raise UnexpectedResponse(400, str(error)) from error
    except pykyro.AlreadyExists as error:
        raise UnexpectedResponse(409, f"Collection {name} already exists") from error
