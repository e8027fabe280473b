"""One metadata key as a column that grows: which row has which value."""

from __future__ import annotations

from array import array

from pykyro.model.number import ExactOrder, exact_order, parse_number


class Column:
    """The values of one key, in order of first appearance, and the rows that carry it, ascending.

    `values` maps a value to its code. `texts`, `numbers` and `is_number` are indexed by code; a number is NaN where
    the value is none. `rows` and `codes` go together, one entry for each row with the key.
    """

    __slots__ = ("_orders", "codes", "is_number", "numbers", "rows", "texts", "values")

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.texts: list[str] = []
        self._orders: dict[int, ExactOrder] = {}
        self.numbers = array("d")
        self.is_number = bytearray()
        self.rows = array("I")
        self.codes = array("I")

    def add(self, row: int, value: str) -> None:
        """Note that `row`, larger than any before, has `value`."""
        code = self.values.setdefault(value, len(self.values))
        if code == len(self.numbers):
            self.texts.append(value)
            number = parse_number(value)
            self.is_number.append(number is not None)
            self.numbers.append(float("nan") if number is None else number)
        self.rows.append(row)
        self.codes.append(code)

    def order_of(self, code: int) -> ExactOrder:
        """`exact_order` of a value that is a number; made when it is first asked for."""
        order = self._orders.get(code)
        if order is None:
            order = self._orders[code] = exact_order(self.texts[code])
        return order
