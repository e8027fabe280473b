"""From the status a call ended with to the error of the tree."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, cast

import grpc

from pykyro.model import errors
from pykyro.proto.methods import RETRY_AFTER_KEY

_KINDS: Final[dict[grpc.StatusCode, Callable[[str], errors.KyroError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.ABORTED: errors.Aborted,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.CANCELLED: errors.Unavailable,
}


class FailedCall(Protocol):
    """What grpc and grpc.aio raise alike."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call failed: as gRPC has it, and the error that this means."""

    code: grpc.StatusCode
    details: str
    error: errors.KyroError

    @classmethod
    def of(cls, failed: grpc.RpcError) -> Failure:
        call = cast(FailedCall, failed)
        return cls(call.code(), call.details() or "", error_of(failed))


def error_of(failed: grpc.RpcError) -> errors.KyroError:
    """The error that this failed call means, with the call as its cause.

    Its text is the server's, or gRPC's own when no server was reached.
    """
    call = cast(FailedCall, failed)
    error = _error(call.code(), call.details() or "", _retry_after_s(call))
    error.__cause__ = failed
    return error


def refusal_error(code: int, text: str) -> errors.KyroError:
    """The error that a document of a stream was refused with, from the number of its status."""
    found = next((known for known in grpc.StatusCode if known.value[0] == code), grpc.StatusCode.UNKNOWN)
    return _error(found, text, None)


def _error(code: grpc.StatusCode, text: str, retry_after_s: float | None) -> errors.KyroError:
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.ResourceExhausted(text, retry_after_s=retry_after_s)
    if code in _KINDS:
        return _KINDS[code](text)
    return errors.KyroError(f"{code.name}: {text}")


def _retry_after_s(call: FailedCall) -> float | None:
    for key, value in call.trailing_metadata() or ():
        if key == RETRY_AFTER_KEY:
            with contextlib.suppress(ValueError):
                return max(0, int(value)) / 1000
    return None
