"""From errors to gRPC statuses: one table, read by every RPC."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Final

import grpc

from pykyro.model import errors
from pykyro.model.errors import CallError
from pykyro.proto.methods import RETRY_AFTER_KEY
from pykyro.service.call_log import REQUEST_ID_KEY, RunningCall
from pykyro.telemetry.logs import fields

_log: Final = logging.getLogger(__name__)

CODES: Final[dict[type[errors.KyroError], grpc.StatusCode]] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.WriteFailed: grpc.StatusCode.UNAVAILABLE,
    errors.DataDamaged: grpc.StatusCode.DATA_LOSS,
    errors.DataDirInUse: grpc.StatusCode.FAILED_PRECONDITION,
    errors.DataDirMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ConfigError: grpc.StatusCode.INTERNAL,
    errors.StorageError: grpc.StatusCode.INTERNAL,
    errors.KyroError: grpc.StatusCode.INTERNAL,
}


@dataclass(frozen=True, slots=True)
class Status:
    """How a failed call ends."""

    code: grpc.StatusCode
    text: str
    trailing_metadata: tuple[tuple[str, str], ...] = ()


def status_of(error: Exception, call: RunningCall) -> Status:
    """The status `call` ends with because of `error`.

    An error nobody foresaw becomes INTERNAL: its traceback goes to the log and not to the client, which is told
    under which request id it stands there.
    """
    cause = error.cause if isinstance(error, CallError) else error
    if not isinstance(cause, errors.KyroError):
        request_id = call.request_id
        _log.error("%s failed unexpectedly", call.rpc, exc_info=error, extra=fields(request_id=request_id))
        return Status(
            grpc.StatusCode.INTERNAL,
            f"internal server error; the server's log has the details under request_id {request_id}",
            ((REQUEST_ID_KEY, request_id),),
        )
    return Status(code_of(cause), str(error), _retry_hint(cause))


def code_of(error: Exception) -> grpc.StatusCode:
    """The code for this error, INTERNAL for one nobody foresaw."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), grpc.StatusCode.INTERNAL)


def _retry_hint(cause: errors.KyroError) -> tuple[tuple[str, str], ...]:
    if isinstance(cause, errors.ResourceExhausted) and cause.retry_after_s is not None:
        return ((RETRY_AFTER_KEY, str(math.ceil(cause.retry_after_s * 1000))),)
    return ()
