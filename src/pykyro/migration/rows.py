"""Rows of an untrusted file, and the check that turns them into documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pykyro.migration.directory_documents import PortableDocument
from pykyro.model.arguments import Schema, checked_namespace
from pykyro.model.documents import checked_document
from pykyro.model.errors import InvalidArgument
from pykyro.model.expiry import checked_expiry
from pykyro.model.limits import TENANT_ID_CHARS_MAX
from pykyro.model.types import TEXT_ID_KEY


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The unchecked content of a row. `number` counts the rows of its file from 1."""

    number: int
    doc_id: object
    vector: Any
    metadata: Any = None
    namespace: object = ""
    tenant: object = ""
    expires_at: object = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot become a document, and why: the field, the value met and the bound."""

    number: int
    reason: str


class RowReader(Protocol):
    """One file, or one set of files, of rows."""

    @property
    def path(self) -> Path:
        """Its name in messages."""
        ...

    def rows(self, start: int) -> Iterator[Row | BadRow]:
        """The rows after the first `start`. Raises InvalidArgument for a file that holds no rows, OSError."""
        ...


def checked_row(row: Row, schema: Schema, tenant: str | None) -> PortableDocument | BadRow | None:
    """The document of a row; None when it is of another tenant than `tenant`.

    A row without a tenant belongs to `tenant`, or to none when that is None.
    """
    try:
        owner = _checked_tenant(row.tenant) or tenant or ""
        if tenant is not None and owner != tenant:
            return None
        if row.metadata is not None and not isinstance(row.metadata, Mapping):
            raise InvalidArgument(
                f"metadata must be a map, got {type(row.metadata).__name__}", field="metadata"
            )
        document = checked_document(row.doc_id, row.vector, row.metadata, schema)
        namespace = checked_namespace("" if row.namespace is None else row.namespace)
        expires_us = _checked_instant(row.expires_at)
        metadata = {key: text for key, text in document.metadata.items() if key != TEXT_ID_KEY}
        return PortableDocument(document.own_id, document.vector, metadata, namespace, owner, expires_us)
    except InvalidArgument as fault:
        return BadRow(row.number, str(fault))


def _checked_instant(value: object) -> int:
    """An instant in ISO 8601 with a zone, as a datetime or in seconds since the epoch; 0 for none."""
    if isinstance(value, str):
        try:
            return _checked_instant(datetime.fromisoformat(value))
        except ValueError:
            raise InvalidArgument(
                f"expires_at must be a time in ISO 8601 with a zone, got {value[:40]!r}", field="expires_at"
            ) from None
    expiry = checked_expiry(value)
    return 0 if expiry is None else expiry.at_us


def _checked_tenant(tenant: object) -> str:
    if tenant is None or tenant == "":
        return ""
    if not isinstance(tenant, str) or not (tenant.isascii() and tenant.replace("_", "a").isalnum()):
        raise InvalidArgument(f"tenant must be A-Z a-z 0-9 _, got {str(tenant)[:40]!r}", field="tenant")
    if len(tenant) > TENANT_ID_CHARS_MAX:
        raise InvalidArgument(
            f"tenant has {len(tenant)} characters; the maximum is {TENANT_ID_CHARS_MAX}", field="tenant"
        )
    return tenant
