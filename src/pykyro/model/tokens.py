"""Tokens: texts that stand for values in the metadata index, equal where values are, in the order of values.

    token = "i" order      a number, integer or float: 1 and 1.0 have one token, and it is exact beyond 2^53
          | "b" 0 or 1     False, True
          | "d" instant    a time: 2020-01-31T12:00:00.000000
          | "n"            None
          | "t" text       a text
          | "l" content    a list, whose content is the tokens of its elements as JSON, or a digest of that
          | "o" content    a dict, likewise, its keys in order
    order = "0" | "1" power digits ":" | "2" | "3" power digits | "4"
                           minus infinity, below 0, 0, above 0, infinity; 0.digits times ten to the power, of which
                           the power is written as 5000 more, and below 0 both as their complements

So every order of values is the order of code points, and no token is a number in the sense of pykyro.model.number.

Python compares 1 == True == 1.0, so a filter, which is a key of caches, holds operands instead of values: the tag of
the value and its text form behind it ("i1", "btrue", "f1", "tabc").
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pykyro.model.number import NINES_COMPLEMENT, ExactOrder, exact_order
from pykyro.model.typed_text import CLASSES, TypedText, tag_of
from pykyro.model.values import value_of

_POWER_ZERO: Final = 5000
_CONTENT_CHARS_MAX: Final = 64
_NUMBERS: Final = frozenset("if")


def operand_of(text: str) -> str:
    """The operand for a value in its text form."""
    return tag_of(text) + text


def operand_value(operand: str) -> Any:
    """The Python value of an operand. Raises ValueError when it is none."""
    return value_of(operand_text(operand))


def operand_text(operand: str) -> str:
    """The value of an operand in its text form."""
    return CLASSES[operand[0]](operand[1:])


def kind_of(operand: str) -> str:
    """The first letter of the tokens the operand compares with: integers and floats are one kind."""
    return "i" if operand[0] == "f" else operand[0]


def loose_text(operand: str) -> str | None:
    """The text that clients without types store for a number; None for what is no number."""
    if operand[0] not in _NUMBERS:
        return None
    return "0" if operand == "f-0" else operand[1:]


def operand_token(operand: str) -> str:
    """The token of an operand."""
    return operand if operand[0] == "t" else token_of(operand_value(operand))


def token_of(value: Any) -> str:
    """The token of a Python value."""
    if isinstance(value, str):
        return "t" + value
    if value is None:
        return "n"
    if isinstance(value, bool):
        return "b1" if value else "b0"
    if isinstance(value, (int, float)):
        return "i" + _order_text(_exact_order(value))
    if isinstance(value, datetime):
        # Years below 1000 have leading zeros in isoformat, not in strftime.
        return "d" + value.replace(tzinfo=None).isoformat(timespec="microseconds")
    return _content("l" if isinstance(value, list) else "o", value)


def entries_of(metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Path and token of everything in metadata that a filter can ask about by type, none twice: the values that are
    not text, the elements of lists, and the entries of dicts by dotted paths.

    Where a path leads to such a value and is the key of a text too, the token of the text is among them.
    """
    found: dict[str, dict[str, None]] = {}
    for key, text in metadata.items():
        if isinstance(text, TypedText):
            _gather(found, key, value_of(text))
    for path, tokens in found.items():
        beside = metadata.get(path)
        if beside is not None and not isinstance(beside, TypedText):
            tokens["t" + beside] = None
        for token in tokens:
            yield path, token


def _gather(found: dict[str, dict[str, None]], path: str, value: Any) -> None:
    tokens = found.setdefault(path, {})
    tokens[token_of(value)] = None
    if isinstance(value, list):
        tokens.update(dict.fromkeys(map(token_of, value)))
    elif isinstance(value, dict):
        for key, inner in value.items():
            _gather(found, f"{path}.{key}", inner)


def _content(kind: str, value: Any) -> str:
    text = json.dumps(_nested(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if len(text) > _CONTENT_CHARS_MAX:
        text = "#" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return kind + text


def _nested(value: Any) -> Any:
    """A list or dict with the tokens of single values in it."""
    if isinstance(value, list):
        return [_nested(element) for element in value]
    if isinstance(value, dict):
        return {key: _nested(inner) for key, inner in value.items()}
    return token_of(value)


def number_of_order(text: str) -> int | float:
    """The number whose token has this behind its letter; a float when it is infinite or not whole."""
    sign = int(text[0]) - 2
    if sign in (-2, 0, 2):
        return {-2: -math.inf, 0: 0, 2: math.inf}[sign]
    power, digits = int(text[1:5]) - _POWER_ZERO, text[5:]
    if sign < 0:
        power, digits = -power, digits.rstrip(":").translate(NINES_COMPLEMENT)
    if power >= len(digits):
        return sign * int(digits.ljust(power, "0"))
    return sign * float(f"0.{digits}e{power}")


def _exact_order(number: int | float) -> ExactOrder:
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return exact_order(str(number) if isinstance(number, int) else float.__repr__(number))


def _order_text(order: ExactOrder) -> str:
    sign, power, digits = order
    if sign in (-2, 0, 2):
        return str(sign + 2)
    # Of a number below 0 exact_order has complemented both already, and ended the digits with a colon.
    return f"{sign + 2}{power + _POWER_ZERO:04d}{digits}"
