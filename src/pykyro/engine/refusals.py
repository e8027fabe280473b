"""Why an operation is refused: it has changed nothing."""

from __future__ import annotations

import logging
import struct
from typing import Final

from pykyro.engine.state import State
from pykyro.model.errors import InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.requests import Operation
from pykyro.model.types import TENANT_INDEX_KEY, Document

_log: Final = logging.getLogger(__name__)


def check_put(document: Document, state: State) -> None:
    """Refuse a document of another dimension, or whose reserved metadata, which searches go by, names another tenant
    than its key. Raises InvalidArgument."""
    if document.vector.shape != (state.dimension,):
        raise InvalidArgument(
            f"vector has shape {document.vector.shape}; the database holds vectors of "
            f"{state.dimension} components",
            field="vector",
        )
    tenant, named = document.tenant, document.metadata.get(TENANT_INDEX_KEY)
    if named != (None if tenant is None else str(tenant)):
        raise InvalidArgument(
            f"document {document.doc_id} is of tenant {tenant}, but its {TENANT_INDEX_KEY} is {named!r}",
            field="metadata",
        )
    if tenant is not None and tenant not in state.tenants:
        raise InvalidArgument(
            f"document {document.doc_id} is of tenant {tenant}, a number given to no tenant",
            field="tenant",
        )


def too_long(content_bytes: int, documents: int, bytes_max: int) -> ResourceExhausted:
    """What refuses an operation that no frame of the log holds; `bytes_max` is the first size that does not fit."""
    return ResourceExhausted(
        f"the write takes {content_bytes} bytes in the log, which holds at most {bytes_max - 1} "
        f"of one operation; it changes {documents} documents: change fewer at once"
    )


def refusal_of(operation: Operation, error: Exception) -> KyroError:
    """What becomes of an operation that an error ended. A form nobody should have let through is said in the log,
    and so is a fault of ours."""
    if isinstance(error, KyroError):
        return error
    if isinstance(error, MemoryError):
        return ResourceExhausted("not enough memory to prepare the write; nothing was changed")
    name = type(operation).__name__
    if isinstance(error, (UnicodeEncodeError, struct.error)):
        return InvalidArgument(f"{name} holds what cannot be stored: {error}")
    _log.error("%s refused, nothing was changed", name, exc_info=error)
    return KyroError(
        f"{name} could not be prepared, and nothing was changed: {type(error).__name__}: {error}"
    )
