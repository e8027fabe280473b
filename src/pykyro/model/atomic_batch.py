"""The bounds of writes that are done all or none."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from pykyro.model.conditions import Terms
from pykyro.model.errors import InvalidArgument, ResourceExhausted
from pykyro.model.limits import ATOMIC_DOCUMENTS_MAX, MESSAGE_BYTES_MAX, STREAM_MESSAGES_MAX

ATOMIC_BYTES_MAX: Final = MESSAGE_BYTES_MAX - (64 << 10)
"""Of the documents of one batch: with what is around them they fit into one message to a server."""

Item = TypeVar("Item")


class AtomicBatch(Generic[Item]):
    """The documents of one batch, while they come."""

    def __init__(self) -> None:
        self.documents: list[Item] = []
        self._bytes = 0

    def add(self, document: Item, size: int) -> None:
        """Take one more, of so many bytes. Raises ResourceExhausted when the batch becomes too large."""
        self.documents.append(document)
        self._bytes += size
        if len(self.documents) > ATOMIC_DOCUMENTS_MAX or self._bytes > ATOMIC_BYTES_MAX:
            raise ResourceExhausted(
                f"documents that are stored all or none (atomic) are at most {ATOMIC_DOCUMENTS_MAX}, of "
                f"{ATOMIC_BYTES_MAX} bytes together; these are more after {len(self.documents)} documents. Nothing "
                "was changed: give fewer, or leave atomic out"
            )


def check_is_atomic(terms: Terms | None) -> None:
    """Refuse an idempotency key for documents that are stored one by one."""
    if terms is not None:
        raise InvalidArgument(
            "idempotency_key needs atomic=True: one key stands for one write, and without it there are many",
            field="idempotency_key",
        )


def check_is_one_call(calls: int, terms: Terms | None) -> None:
    """Refuse an idempotency key for a removal of more ids than one call names, so that it takes several."""
    if terms is not None and calls > 1:
        raise InvalidArgument(
            f"with an idempotency_key at most {STREAM_MESSAGES_MAX} ids, or 1 MiB of texts, are removed at once; "
            "these are more",
            field="ids",
        )
