"""Listings of the table: rows by id, by their values under a key, and how often each value is there.

Where a document stands in the order of values is said in pykyro.model.value_order; a row has the tokens for that.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from psycopg import sql

from pykyro.engine.remote.rows import doc_id_of, doc_key_of, escaped, unescaped
from pykyro.engine.remote.schema import rows_table
from pykyro.engine.remote.table import RemoteTable, Which
from pykyro.engine.tiers.tier import Entry, Tokens, ValueOrder
from pykyro.index.metadata.value_runs import Positions
from pykyro.model.errors import InvalidArgument
from pykyro.model.types import Rows
from pykyro.model.value_order import FACET_KINDS, ORDERED_KINDS

_VALUES_MAX: Final = 200_000
_BEHIND: Final = sql.SQL(">"), sql.SQL("ASC"), sql.SQL("min")
_BEFORE: Final = sql.SQL("<"), sql.SQL("DESC"), sql.SQL("max")
_TOKENS: Final = sql.SQL(
    "SELECT v FROM jsonb_array_elements_text(r.tokens -> %s) AS e(v) WHERE left(v, 1) = ANY(%s)"
)


class TokenList:
    """Tokens in order."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens

    def token(self, place: int) -> str:
        return self._tokens[place]


def by_id(
    table: RemoteTable, which: Which, after: int | None, limit: int, *, descending: bool
) -> tuple[npt.NDArray[np.uint64], Rows]:
    """Ids and rows of the first `limit` documents by id behind `after`, in order."""
    where, parameters = table.where(which)
    sign, direction, _ = _BEFORE if descending else _BEHIND
    if after is not None:
        where = sql.SQL("{} AND r.doc_key {} %s").format(where, sign)
        parameters = [*parameters, doc_key_of(after)]
    inner = sql.SQL("SELECT r.row, r.doc_key FROM {} r WHERE {} ORDER BY r.doc_key {} LIMIT {}").format(
        rows_table(table.table), where, direction, sql.Literal(limit)
    )
    return _ids_and_rows(table.ask(inner, parameters, "r.row, r.doc_key"))


def by_value(table: RemoteTable, which: Which, order: ValueOrder) -> list[Entry]:
    """Rows by their values under a key, one more than asked for if there are so many."""
    where, parameters = table.where(which)
    token, values = _token(order.key, descending=order.descending)
    sign, direction, _ = _BEFORE if order.descending else _BEHIND
    where = sql.SQL("{} AND t.token IS NOT NULL").format(where)
    if order.after is not None:
        where = sql.SQL("{} AND (t.token, r.doc_key) {} (%s, %s)").format(where, sign)
        parameters = [*parameters, escaped(order.after[0]), doc_key_of(order.after[1])]
    inner = sql.SQL(
        "SELECT r.row, r.doc_key, t.token FROM {rows} r CROSS JOIN LATERAL (SELECT {token} AS token) t "
        "WHERE {where} ORDER BY t.token {direction}, r.doc_key {direction} LIMIT {limit}"
    ).format(
        rows=rows_table(table.table),
        token=token,
        where=where,
        direction=direction,
        limit=sql.Literal(order.count + 1),
    )
    found = table.ask(inner, [*values, *parameters], "r.row, r.doc_key, r.token")
    return [Entry(unescaped(text), doc_id_of(key), row) for row, key, text in found]


def without_value(
    table: RemoteTable, which: Which, key: str, after: int | None, count: int, *, descending: bool
) -> tuple[npt.NDArray[np.uint64], Rows]:
    """Ids and rows of those without a value under the key, by id."""
    where, parameters = table.where(which)
    token, values = _token(key, descending=descending)
    sign, direction, _ = _BEFORE if descending else _BEHIND
    where = sql.SQL("{} AND t.token IS NULL").format(where)
    if after is not None:
        where = sql.SQL("{} AND r.doc_key {} %s").format(where, sign)
        parameters = [*parameters, doc_key_of(after)]
    inner = sql.SQL(
        "SELECT r.row, r.doc_key FROM {} r CROSS JOIN LATERAL (SELECT {} AS token) t "
        "WHERE {} ORDER BY r.doc_key {} LIMIT {}"
    ).format(rows_table(table.table), token, where, direction, sql.Literal(count))
    found = table.ask(inner, [*values, *parameters], "r.row, r.doc_key")
    return _ids_and_rows(found)


def _ids_and_rows(found: list[tuple[Any, ...]]) -> tuple[npt.NDArray[np.uint64], Rows]:
    ids = np.fromiter((doc_id_of(each) for _, each in found), np.uint64, len(found))
    return ids, np.array([row for row, _ in found], np.int64)


def value_counts(table: RemoteTable, which: Which, key: str) -> tuple[Tokens, Positions]:
    """The tokens that facets count, in order, and how many rows have each. Raises InvalidArgument when there are too
    many."""
    where, parameters = table.where(which)
    name = escaped(key)
    inner = sql.SQL(
        "SELECT t.v, count(*) AS n FROM {rows} r CROSS JOIN LATERAL "
        "({tokens} UNION ALL SELECT 't' || (r.texts ->> %s) WHERE r.texts ? %s AND NOT r.tokens ? %s) AS t(v) "
        'WHERE {where} GROUP BY t.v ORDER BY t.v COLLATE "C" LIMIT {limit}'
    ).format(rows=rows_table(table.table), tokens=_TOKENS, where=where, limit=sql.Literal(_VALUES_MAX + 1))
    found = table.ask(inner, [name, list(FACET_KINDS), name, name, name, *parameters], "r.v, r.n")
    if len(found) > _VALUES_MAX:
        raise InvalidArgument(
            f"{key[:40]!r} has more than {_VALUES_MAX} values, the maximum for facets of documents in PostgreSQL: "
            "narrow them by a filter, or name a key with fewer values",
            field="key",
        )
    return TokenList([unescaped(text) for text, _ in found]), np.array(
        [count for _, count in found], np.int64
    )


def _token(key: str, *, descending: bool) -> tuple[sql.Composable, list[Any]]:
    """The token that a document stands at in the order of values under a key, NULL when it has none."""
    name = escaped(key)
    least = (_BEFORE if descending else _BEHIND)[2]
    text = sql.SQL(
        '(CASE WHEN r.tokens ? %s THEN (SELECT {}(v COLLATE "C") FROM ({}) AS o(v)) '
        "ELSE 't' || (r.texts ->> %s) END) COLLATE \"C\""
    ).format(least, _TOKENS)
    return text, [name, name, list(ORDERED_KINDS), name]
