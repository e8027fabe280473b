"""Documents in the order of their values under a key, and the values that facets count.

A document stands where its value stands: false, true; times; numbers, integers and floats being one; texts by code
point. That is the order of tokens (pykyro.model.tokens). Of several values, those of a list or of dicts that one
dotted path leads to, the smallest counts in ascending order and the largest in descending order. Lists as a whole,
dicts and null have no order: a document that has nothing else under the key comes last, in both directions, as one
without the key does. Documents of one place follow each other by id, where ids are text by key.

Facets count each single value of a document once: the value, or each element of a list, null too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pykyro.model.arguments import bounded_integer
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import FACETS_MAX, METADATA_KEY_BYTES_MAX
from pykyro.model.scalars import INT_MAX, INT_MIN, require_utf8
from pykyro.model.tokens import entries_of, number_of_order
from pykyro.model.typed_text import TypedText

ORDERED_KINDS: Final = "bdit"
"""First letters of the tokens that have an order, in it."""
FACET_KINDS: Final = "bdint"
FACETS: Final = 10
"""Values in an answer, unless the caller says how many."""


def tokens_under(metadata: Mapping[str, str], key: str) -> set[str]:
    """The tokens of everything that stored metadata has under a key or dotted path."""
    found = {token for path, token in entries_of(metadata) if path == key}
    text = metadata.get(key)
    if not found and text is not None and not isinstance(text, TypedText):
        found.add("t" + text)
    return found


def order_token(metadata: Mapping[str, str], key: str, *, descending: bool) -> str | None:
    """The token a document with this metadata stands at, or None when it comes last."""
    ordered = [token for token in tokens_under(metadata, key) if token[0] in ORDERED_KINDS]
    return None if not ordered else max(ordered) if descending else min(ordered)


def facet_tokens(metadata: Mapping[str, str], key: str) -> set[str]:
    """The tokens of the values that facets count of a document with this metadata."""
    return {token for token in tokens_under(metadata, key) if token[0] in FACET_KINDS}


def token_value(token: str) -> Any:
    """The value of a token of FACET_KINDS; of numbers that are whole an int where one of 64 bits can be it."""
    kind, content = token[0], token[1:]
    if kind == "t":
        return content
    if kind == "n":
        return None
    if kind == "b":
        return content == "1"
    if kind == "d":
        return datetime.fromisoformat(content).replace(tzinfo=UTC)
    number = number_of_order(content)
    return float(number) if isinstance(number, int) and not INT_MIN <= number <= INT_MAX else number


def checked_key(key: object, field: str) -> str:
    """`key` itself, when it can be one of metadata, or a dotted path. Raises InvalidArgument."""
    if not isinstance(key, str) or not key:
        shown = "none" if key == "" else type(key).__name__
        raise InvalidArgument(f"{field} must be the key of a value, as text, got {shown}", field=field)
    size = len(require_utf8(key, field).encode())
    if size > METADATA_KEY_BYTES_MAX:
        raise InvalidArgument(
            f"{field} has {size} bytes; the maximum is {METADATA_KEY_BYTES_MAX}", field=field
        )
    return key


def checked_facets(key: object, limit: object) -> tuple[str, int]:
    """The key and the limit of facets. Raises InvalidArgument."""
    return checked_key(key, "key"), bounded_integer(limit, "limit", 1, FACETS_MAX)
