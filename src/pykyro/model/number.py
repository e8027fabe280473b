"""Which texts are numbers, and how those compare: exactly, however many digits they have.

float64 tells integers beyond 2^53 apart only by twos, fours and so on, and ids and clocks in nanoseconds are such
integers. So a float64 decides wherever two numbers have different ones, which is nearly always and quick, and
`exact_order` where they have the same. Rounding keeps order, so the two never disagree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isinf
from operator import ge, gt, le, lt
from typing import Any, Final, Literal, TypeAlias

RangeOperator: TypeAlias = Literal["gte", "lte", "gt", "lt"]
COMPARE: Final[Mapping[RangeOperator, Callable[[Any, Any], Any]]] = {
    "gte": ge,
    "lte": le,
    "gt": gt,
    "lt": lt,
}

ExactOrder: TypeAlias = tuple[int, int, str]
"""Sorts as the number does."""

# The grammar of Rust's f64::from_str, which clients have been relying on. Possessive quantifiers keep the
# match linear in the length of hostile text.
_NUMBER: Final = re.compile(
    r"[+-]?(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?|(?i:inf(?:inity)?|nan))", re.ASCII
)
_WHOLE_FROM: Final = 2.0**53
"""From here on every float64 is an integer, and there are integers that are none."""
_POWER_DIGITS_MAX: Final = 18
_POWER_MAX: Final = 10**_POWER_DIGITS_MAX
NINES_COMPLEMENT: Final = str.maketrans("0123456789", "9876543210")
_AFTER_DIGITS: Final = ":"


def parse_number(text: str) -> float | None:
    """The float64 nearest to the number `text` spells, or None.

    Decimal digits with an optional sign, point and exponent, or inf, infinity, nan in any case. Not what
    float() also takes: surrounding space, underscores, digits of other scripts. Too large is infinite.
    """
    return float(text) if _NUMBER.fullmatch(text) else None


def in_text_range(op: RangeOperator, text: str, bound: str) -> bool:
    """Whether a text lies on the right side of `bound`: compared as numbers when both are some, otherwise as byte
    strings."""
    number, limit = parse_number(text), parse_number(bound)
    if number is not None and limit is not None:
        if number == limit:
            return bool(COMPARE[op](exact_order(text), exact_order(bound)))
        return bool(COMPARE[op](number, limit))
    # Python orders str by code point, which is the order of the UTF-8 bytes.
    return bool(COMPARE[op](text, bound))


def exact_order(text: str) -> ExactOrder:
    """What sorts as the number itself that `text` spells; parse_number must take it, and NaN it is not.

    The number is the decimal one, except that a text with an exponent is a float64 from 2^53 on: so programs print
    float64s, and 1.152921504606847e+18 is how they write 2^60. No arithmetic, so a million digits are no burden.
    """
    negative = text[0] == "-"
    digits = text.lstrip("+-")
    if digits[0] in "iI":
        return _order(negative, None, 0)
    if "e" in digits or "E" in digits:
        number = abs(float(text))
        if isinf(number):
            return _order(negative, None, 0)
        if number >= _WHOLE_FROM:
            digits = str(int(number))
    mantissa, _, exponent = digits.replace("E", "e").partition("e")
    whole, _, fraction = mantissa.partition(".")
    significant = (whole + fraction).lstrip("0")
    power = _power(exponent) + len(significant) - len(fraction)
    return _order(negative, significant.rstrip("0"), power)


def _order(negative: bool, digits: str | None, power: int) -> ExactOrder:
    """Of 0.`digits` times ten to the `power`, digits without outer zeros; None is infinity."""
    if digits is None:
        return (-2 if negative else 2, 0, "")
    if not digits:
        return (0, 0, "")
    if negative:
        return (-1, -power, digits.translate(NINES_COMPLEMENT) + _AFTER_DIGITS)
    return (1, power, digits)


def _power(exponent: str) -> int:
    digits = exponent.lstrip("+-").lstrip("0")
    size = int(digits or "0") if len(digits) <= _POWER_DIGITS_MAX else _POWER_MAX
    return -size if exponent.startswith("-") else size
