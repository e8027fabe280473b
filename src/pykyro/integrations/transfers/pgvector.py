"""A table of PostgreSQL with pgvector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pykyro
from pykyro.integrations.extras import needs_extra
from pykyro.integrations.transfers.source import PAGE, Source, SourceRow, chosen_column, row_of

if TYPE_CHECKING:
    from psycopg import Connection

_DISTANCES: Final = {
    "vector_cosine_ops": "cosine",
    "vector_l2_ops": "euclidean",
    "vector_ip_ops": "innerproduct",
    "halfvec_cosine_ops": "cosine",
    "halfvec_l2_ops": "euclidean",
    "halfvec_ip_ops": "innerproduct",
}
_COLUMNS: Final = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
_PRIMARY: Final = """
SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
WHERE indrelid = %s::regclass AND indisprimary"""
_CLASSES: Final = """
SELECT opcname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
JOIN pg_opclass ON pg_opclass.oid = indclass[0] WHERE indrelid = %s::regclass AND attname = %s"""
_INTEGERS: Final = ("smallint", "integer", "bigint")


def pgvector_source(uri: str, table: str, id_column: str | None, vector_column: str | None) -> Source:
    """The rows of `table`, which may name its schema, as of the moment at which this is called. Raises
    InvalidArgument, FailedPrecondition."""
    try:
        with needs_extra("postgres", "psycopg"):
            import psycopg
            from psycopg import IsolationLevel
    except ModuleNotFoundError as error:
        raise pykyro.FailedPrecondition(str(error)) from error
    try:
        connection = psycopg.connect(uri)
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        return _source(connection, table, id_column, vector_column)
    except psycopg.Error as error:
        raise pykyro.FailedPrecondition(f"PostgreSQL: {error}") from error


def _source(
    connection: Connection[Any], table: str, id_column: str | None, vector_column: str | None
) -> Source:
    from psycopg import sql

    with connection.cursor() as cursor:
        types = dict(cursor.execute(_COLUMNS, [table]).fetchall())
        primary = [name for (name,) in cursor.execute(_PRIMARY, [table]).fetchall()]
        own_id = chosen_column(id_column, primary if id_column is None else [*types], "id", table, "id")
        vectors = [name for name, kind in types.items() if kind.startswith(("vector", "halfvec"))]
        vector = chosen_column(vector_column, vectors, "vector", table, "embedding")
        classes = {name for (name,) in cursor.execute(_CLASSES, [table, vector]).fetchall()}
        quoted = sql.SQL(".").join(map(sql.Identifier, table.split(".")))
        column = sql.Identifier(vector)
        known = sql.SQL("FROM {} WHERE {} IS NOT NULL").format(quoted, column)
        counted = cursor.execute(
            sql.SQL("SELECT count(*), min(vector_dims({})) {}").format(column, known)
        ).fetchone()
    assert counted is not None
    total, dimension = counted
    if not total:
        raise pykyro.InvalidArgument(f"{table} has no row with a vector", field="collection")
    others = [sql.Identifier(name) for name in types if name not in (own_id, vector)]
    chosen = [sql.Identifier(own_id), sql.SQL("{}::real[]").format(column), *others]
    query = sql.SQL("SELECT {} {} ORDER BY {}").format(
        sql.SQL(", ").join(chosen), known, sql.Identifier(own_id)
    )
    distances = {_DISTANCES[name] for name in classes if name in _DISTANCES}
    return Source(
        name=table,
        dimension=dimension,
        distance=distances.pop() if len(distances) == 1 else None,
        id_type="integer" if types[own_id] in _INTEGERS else "text",
        total=total,
        pages=_pages(
            connection, query, own_id, vector, [name for name in types if name not in (own_id, vector)]
        ),
    )


def _pages(
    connection: Connection[Any], query: Any, own_id: str, vector: str, others: list[str]
) -> Iterator[list[SourceRow]]:
    names = [own_id, vector, *others]
    with connection, connection.cursor(name="kyrodb_import") as cursor:
        cursor.execute(query)
        while page := cursor.fetchmany(PAGE):
            yield [row_of(dict(zip(names, row, strict=True)), own_id, vector) for row in page]
