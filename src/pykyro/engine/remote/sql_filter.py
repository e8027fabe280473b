"""A filter as a condition of SQL, true of exactly the rows whose documents it matches (pykyro.model.filter.matches).

What a condition on values with types asks is taken apart as the local index takes it apart
(index/metadata/typed_columns.py); the rows have what each part needs (rows.py). Every comparison of texts is one of
bytes. Nothing of a filter but its shape gets into the statement: keys and values are parameters.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from psycopg import sql
from psycopg.types.json import Jsonb

from pykyro.engine.remote.rows import FOLDED_TOKENS, NAN, escaped, number_key
from pykyro.index.metadata.typed_columns import TYPED, Condition, Scan, Span, is_typed_column, leaves_of
from pykyro.model.errors import FailedPrecondition
from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range
from pykyro.model.number import RangeOperator
from pykyro.model.typed_filter import Among, Between, Present, TextMatch
from pykyro.model.types import TENANT_INDEX_KEY

_BY_INDEX_MAX: Final = 16
"""So many values are looked for in an index one by one."""
_OPERATORS: Final[dict[RangeOperator, str]] = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<"}
_TRUE: Final = sql.SQL("TRUE")
_FALSE: Final = sql.SQL("FALSE")
_SURROGATES: Final = range(0xD800, 0xE000)


class SqlFilter:
    """`text` is the condition, `parameters` what stands in its places, in order."""

    __slots__ = ("parameters", "text")

    def __init__(self, condition: Filter | None) -> None:
        """Raises FailedPrecondition for the one kind of filter that cannot be said exactly, see `_scan`."""
        self.parameters: list[Any] = []
        self.text: sql.Composable = _TRUE if condition is None else self._said(condition)

    def _said(self, condition: Filter) -> sql.Composable:
        match condition:
            case Anything():
                return _TRUE
            case And(parts):
                return self._joined(" AND ", parts) if parts else _TRUE
            case Or(parts):
                return self._joined(" OR ", parts) if parts else _FALSE
            case Not(part):
                return _FALSE if part is None else sql.SQL("NOT ({})").format(self._said(part))
            case Exact() | In() | Range():
                return self._leaf(condition)
            case Among() | Between() | TextMatch() | Present():
                return self._typed(condition)
            case _:
                assert_never(condition)

    def _joined(self, word: str, parts: tuple[Filter, ...]) -> sql.Composable:
        said = [sql.SQL("({})").format(self._said(part)) for part in parts]
        return sql.SQL(" AND " if word == " AND " else " OR ").join(said)

    def _typed(self, condition: Among | Between | TextMatch | Present) -> sql.Composable:
        """Rows with values under the path have all of them among its tokens; of others the text is the value."""
        typed, plain = leaves_of(condition)
        said = self._leaf(typed)
        if plain is None:
            return said
        texts = self._plain(plain)
        self.parameters.append(escaped(condition.key))
        return sql.SQL("({} OR ({} AND NOT r.tokens ? %s))").format(said, texts)

    def _plain(self, condition: Condition) -> sql.Composable:
        if isinstance(condition, Span | Scan | Exact | In | Range):
            return self._leaf(condition)
        assert isinstance(condition, And)
        return self._joined(" AND ", condition.parts)

    def _leaf(self, condition: Exact | In | Range | Span | Scan) -> sql.Composable:
        """A condition on one column: the texts of a key, or the tokens of a path. Never NULL."""
        typed = is_typed_column(condition.key)
        key = escaped(condition.key.removeprefix(TYPED))
        match condition:
            case Exact(_, value):
                return self._one_of(key, (value,), typed=typed)
            case In(_, values):
                return self._one_of(key, values, typed=typed)
            case Range(_, None, _):
                if not typed and condition.key == TENANT_INDEX_KEY:
                    return sql.SQL("r.owner <> 0")
                return self._use("r.tokens ? %s" if typed else "r.texts ? %s", key)
            case Range(_, op, bound):
                assert op is not None
                assert not typed
                return self._range(key, op, bound)
            case Span():
                return self._span(key, condition, typed=typed)
            case Scan():
                return self._scan(key, condition, typed=typed)

    def _use(self, text: str, *parameters: Any) -> sql.Composable:
        self.parameters += parameters
        return sql.SQL(text)

    def _one_of(self, key: str, values: tuple[str, ...], *, typed: bool) -> sql.Composable:
        if not values:
            return _FALSE
        if not typed and key == TENANT_INDEX_KEY and len(values) == 1:
            number = values[0]
            if number.isascii() and number.isdecimal() and len(number) < 12 and str(int(number)) == number:
                return self._use("r.owner = %s", int(number) + 1)
            return _FALSE
        texts = [escaped(value) for value in values]
        if len(texts) > _BY_INDEX_MAX:
            if typed:
                return self._use("COALESCE(r.tokens -> %s ?| %s::text[], FALSE)", key, texts)
            return self._use("COALESCE(r.texts ->> %s = ANY(%s::text[]), FALSE)", key, texts)
        said = [
            self._use("r.tokens @> %s", Jsonb({key: [text]}))
            if typed
            else self._use("r.texts @> %s", Jsonb({key: text}))
            for text in texts
        ]
        return said[0] if len(said) == 1 else sql.SQL("({})").format(sql.SQL(" OR ").join(said))

    def _range(self, key: str, op: RangeOperator, bound: str) -> sql.Composable:
        """As pykyro.model.number.in_text_range: as numbers when both are some, otherwise as byte strings."""
        sign, order, text = _OPERATORS[op], number_key(bound), escaped(bound)
        as_text = f'COALESCE((r.texts ->> %s) COLLATE "C" {sign} %s, FALSE)'
        if order is None:
            return self._use(as_text, key, text)
        if order == NAN:
            return self._use(f"(NOT r.numbers ? %s AND {as_text})", key, key, text)
        as_number = f"""(r.numbers ->> %s <> '{NAN}' AND (r.numbers ->> %s) COLLATE "C" {sign} %s)"""
        return self._use(
            f"(CASE WHEN r.numbers ? %s THEN {as_number} ELSE {as_text} END)",
            *(key, key, key, order),
            *(key, text),
        )

    def _span(self, key: str, condition: Span, *, typed: bool) -> sql.Composable:
        value = "v" if typed else "(r.texts ->> %s)"
        parts, parameters = [], list[Any]()
        for bound, sign in (
            (condition.low, ">" if condition.low_open else ">="),
            (condition.high, "<" if condition.high_open else "<="),
        ):
            if bound is not None:
                parts.append(f'{value} COLLATE "C" {sign} %s')
                parameters += [_encodable(bound)] if typed else [key, _encodable(bound)]
        if not parts:
            return self._use("r.tokens ? %s" if typed else "r.texts ? %s", key)
        said = " AND ".join(parts)
        if not typed:
            return self._use(f"COALESCE({said}, FALSE)", *parameters)
        return self._use(
            f"EXISTS (SELECT FROM jsonb_array_elements_text(r.tokens -> %s) AS e(v) WHERE {said})",
            key,
            *parameters,
        )

    def _scan(self, key: str, condition: Scan, *, typed: bool) -> sql.Composable:
        needle = condition.needle
        if any(letter in needle for letter in "\0\x01\x02"):
            # Of the pairs that stand for the first two characters the second half could be found alone.
            raise FailedPrecondition(
                "contains with one of the characters U+0000 to U+0002 is not supported where the cold tier is "
                "PostgreSQL"
            )
        if not typed:
            text = "r.texts ->> %s"
            if not condition.folded:
                return self._use(f'COALESCE(strpos(({text}) COLLATE "C", %s) > 0, FALSE)', key, needle)
            text = f"COALESCE(r.folded ->> %s, {text})"
            return self._use(f'COALESCE(strpos({text} COLLATE "C", %s) > 0, FALSE)', key, key, needle)
        if condition.folded:
            return self._use(
                "EXISTS (SELECT FROM jsonb_array_elements_text(r.folded -> %s) AS e(v) "
                'WHERE strpos(v COLLATE "C", %s) > 0)',
                FOLDED_TOKENS + key,
                needle,
            )
        return self._use(
            "EXISTS (SELECT FROM jsonb_array_elements_text(r.tokens -> %s) AS e(v) "
            """WHERE left(v, 1) = 't' AND strpos(substr(v, 2) COLLATE "C", %s) > 0)""",
            key,
            needle,
        )


def _encodable(bound: str) -> str:
    """A bound that UTF-8 can hold: no text lies between the lone surrogates and what comes behind them."""
    if bound and ord(bound[-1]) in _SURROGATES:
        bound = bound[:-1] + chr(_SURROGATES.stop)
    return escaped(bound)
