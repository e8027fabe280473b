"""What a write may ask beside its content: conditions on the stored document, and to be done once only.

A document's position is that of the write that made it what it is: each write has a larger one, so who changes a
document only at the position he read it at overwrites nobody's change.
"""

from __future__ import annotations

from dataclasses import dataclass

from pykyro.model.arguments import checked_integer
from pykyro.model.errors import Aborted, AlreadyExists, InvalidArgument, KyroError
from pykyro.model.filter import Anything, Filter, check_filter
from pykyro.model.limits import COUNT_MAX, IDEMPOTENCY_KEY_BYTES_MAX
from pykyro.model.types import LSN, AnyId


@dataclass(frozen=True, slots=True)
class Terms:
    """Conditions, all of which must hold, and an idempotency key, b"" for none.

    `if_absent` wants no stored document of the id, `if_position` one at this position, `if_filter` one that matches.
    """

    if_absent: bool = False
    if_position: LSN | None = None
    if_filter: Filter | None = None
    idempotency_key: bytes = b""

    @property
    def is_conditional(self) -> bool:
        return self.if_absent or self.if_position is not None or self.if_filter is not None

    def without_key(self) -> Terms:
        """The conditions alone."""
        return Terms(self.if_absent, self.if_position, self.if_filter)


def checked_terms(
    if_absent: object = False,
    if_position: object = None,
    if_filter: Filter | None = None,
    idempotency_key: object = "",
) -> Terms | None:
    """These arguments, checked; None when nothing is asked. Raises InvalidArgument."""
    if not if_absent and if_position is None and if_filter is None and not idempotency_key:
        return None
    if if_absent and (if_position is not None or if_filter is not None):
        other = "if_filter" if if_position is None else "if_position"
        raise InvalidArgument(
            f"if_absent and {other} contradict each other: a document that is not there has no position and matches "
            "no filter",
            field="if_absent",
        )
    position = None if if_position is None else checked_position(if_position, "if_position")
    if if_filter is not None:
        check_filter(if_filter)
    return Terms(
        bool(if_absent),
        position,
        None if isinstance(if_filter, Anything) and position is not None else if_filter,
        checked_key(idempotency_key),
    )


def checked_position(position: object, field: str) -> LSN:
    """A position that a client states. Raises InvalidArgument."""
    number = checked_integer(position, field)
    if not 0 <= number <= COUNT_MAX:
        raise InvalidArgument(f"{field} must be 0 to {COUNT_MAX}, got {number}", field=field)
    return number


def checked_key(key: object) -> bytes:
    """An idempotency key in UTF-8, b"" for none. Raises InvalidArgument."""
    if not isinstance(key, str):
        raise InvalidArgument(
            f"idempotency_key must be text, got {type(key).__name__}", field="idempotency_key"
        )
    try:
        data = key.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"idempotency_key is no valid text: {error}", field="idempotency_key") from None
    if len(data) > IDEMPOTENCY_KEY_BYTES_MAX:
        raise InvalidArgument(
            f"idempotency_key has {len(data)} bytes; the maximum is {IDEMPOTENCY_KEY_BYTES_MAX}",
            field="idempotency_key",
        )
    return data


def is_there(doc_id: AnyId) -> AlreadyExists:
    """What refuses a write that wanted to be the first of its document."""
    return AlreadyExists(
        f"document {doc_id!r} is there already (if_absent); nothing was changed. Insert it without if_absent to "
        "replace it"
    )


def is_not_there(doc_id: AnyId, terms: Terms) -> KyroError:
    """What refuses a write that wanted a stored document, where there is none."""
    asked = "if_filter" if terms.if_position is None else f"if_position {terms.if_position}"
    return Aborted(f"document {doc_id!r} is not there ({asked}); nothing was changed")


def is_elsewhere(doc_id: AnyId, stored: LSN | None, asked: LSN) -> Aborted:
    """What refuses a write for another state of the document; None is one that is being written with it."""
    at = "was changed by a write acknowledged with this one" if stored is None else f"is at position {stored}"
    return Aborted(
        f"document {doc_id!r} {at}, and if_position is {asked}; nothing was changed. Read the document again, and "
        "decide anew"
    )


def matches_not(doc_id: AnyId) -> Aborted:
    """What refuses a write for a document that does not match its filter."""
    return Aborted(
        f"document {doc_id!r} does not match if_filter; nothing was changed. Read the document again, and decide anew"
    )
