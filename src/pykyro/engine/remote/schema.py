"""What is created on the other side; docs/scaling.md describes it for programs that read it.

    kyrodb.collections            one row a collection: whose it is, and up to which position the table holds it
    kyrodb.rows_<table>           its sealed documents
    kyrodb.documents_<table>      a view of them with plain columns

A row is never changed: a new version of a document is another row with a higher number.
"""

from __future__ import annotations

from typing import Final

from psycopg import sql

from pykyro.engine.remote.link import Connection
from pykyro.model.errors import FailedPrecondition
from pykyro.model.types import KEPT_APART, NAMESPACE_KEY, TEXT_ID_KEY, Metric

FORMAT: Final = 1
INDEXED_DIMENSION_MAX: Final = 2000
"""pgvector has no index of longer vectors of float32; those are scanned."""
INDEXED_FROM: Final = 2000
"""A table of fewer rows has no index of vectors: to look at all of them takes as long as a walk."""
INDEX_M_MAX: Final = 100
INDEX_EF_MAX: Final = 1000
SCHEMA: Final = "kyrodb"
_CREATING: Final = 0x4B59524F  # any number that is always the same
OPERATORS: Final = {Metric.COSINE: "<=>", Metric.EUCLIDEAN: "<->", Metric.INNER_PRODUCT: "<#>"}
_OPERATOR_CLASSES: Final = {
    Metric.COSINE: "vector_cosine_ops",
    Metric.EUCLIDEAN: "vector_l2_ops",
    Metric.INNER_PRODUCT: "vector_ip_ops",
}

STATES: Final = sql.Identifier(SCHEMA, "collections")


def rows_table(table: str) -> sql.Identifier:
    """The table of the rows of a collection."""
    return sql.Identifier(SCHEMA, f"rows_{table}")


def documents_view(table: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, f"documents_{table}")


_STATES_DDL: Final = """
CREATE TABLE IF NOT EXISTS {states} (
  id text PRIMARY KEY,
  format int NOT NULL,
  collection text NOT NULL,
  dimension int NOT NULL,
  metric text NOT NULL,
  history text NOT NULL,
  writer text NOT NULL,
  holder text NOT NULL,
  sealed_position bigint NOT NULL DEFAULT 0,
  seal_token text NOT NULL DEFAULT '',
  changed timestamptz NOT NULL DEFAULT now()
)"""
_ROWS_DDL: Final = """
CREATE TABLE {rows} (
  row bigint PRIMARY KEY,
  owner bigint NOT NULL,
  doc_key bigint NOT NULL,
  position bigint NOT NULL,
  expires_us bigint NOT NULL,
  texts jsonb NOT NULL,
  tokens jsonb NOT NULL,
  numbers jsonb NOT NULL,
  folded jsonb NOT NULL,
  wire bytea NOT NULL,
  reserved bytea NOT NULL,
  embedding vector({dimension}) NOT NULL,
  UNIQUE (owner, doc_key)
)"""
_VIEW_DDL: Final = """
CREATE VIEW {view} AS SELECT
  CASE WHEN texts ? {text_id} THEN texts ->> {text_id} ELSE (doc_key::numeric + 9223372036854775808)::text END AS id,
  CASE WHEN owner = 0 THEN NULL ELSE owner - 1 END AS tenant,
  texts ->> {namespace} AS namespace,
  CASE WHEN expires_us = 0 THEN NULL ELSE to_timestamp(expires_us / 1000000.0) END AS expires_at,
  position,
  texts - {reserved}::text[] AS metadata,
  embedding
FROM {rows}"""


def create_tables(connection: Connection, table: str, *, dimension: int) -> None:
    """Create what a collection needs, in the caller's transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_CREATING])
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
    connection.execute(sql.SQL(_STATES_DDL).format(states=STATES))
    rows = rows_table(table)
    connection.execute(sql.SQL(_ROWS_DDL).format(rows=rows, dimension=sql.Literal(dimension)))
    for column in ("texts", "tokens"):
        connection.execute(
            sql.SQL("CREATE INDEX ON {} USING gin ({} jsonb_path_ops)").format(rows, sql.Identifier(column))
        )
    connection.execute(
        sql.SQL(_VIEW_DDL).format(
            view=documents_view(table),
            rows=rows,
            text_id=sql.Literal(TEXT_ID_KEY),
            namespace=sql.Literal(NAMESPACE_KEY),
            reserved=sql.Literal(sorted({*KEPT_APART, TEXT_ID_KEY})),
        )
    )


def create_index(
    connection: Connection, table: str, *, dimension: int, metric: Metric, m: int, ef_construction: int
) -> None:
    """Create the index of the vectors in the caller's transaction, if the table has become large enough for one and
    has none: to build it at once takes far less time than to let it grow from the first row."""
    if dimension > INDEXED_DIMENSION_MAX:
        return
    rows, name = rows_table(table), f"rows_{table}_embedding"
    found = connection.execute(
        sql.SQL("SELECT to_regclass(%s) IS NULL AND count(*) >= %s FROM (SELECT FROM {} LIMIT %s) r").format(
            rows
        ),
        [f"{SCHEMA}.{name}", INDEXED_FROM, INDEXED_FROM],
    ).fetchone()
    if found is None or not found[0]:
        return
    m = max(2, min(INDEX_M_MAX, m))
    connection.execute(
        sql.SQL("CREATE INDEX {} ON {} USING hnsw (embedding {}) WITH (m = {}, ef_construction = {})").format(
            sql.Identifier(name),
            rows,
            sql.SQL(_OPERATOR_CLASSES[metric]),
            sql.Literal(m),
            sql.Literal(min(INDEX_EF_MAX, max(2 * m, ef_construction))),
        )
    )


def drop_tables(connection: Connection, table: str) -> None:
    """Remove all of a collection, in the caller's transaction."""
    connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(documents_view(table)))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(rows_table(table)))
    connection.execute(sql.SQL("DELETE FROM {} WHERE id = %s").format(STATES), [table])


def states_exist(connection: Connection) -> bool:
    """Whether any collection was ever created there."""
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{SCHEMA}.collections"]).fetchone()
    return found is not None and bool(found[0])


def check_format(found: int, table: str) -> None:
    """Raises FailedPrecondition when a later version made the table."""
    if found != FORMAT:
        raise FailedPrecondition(
            f"kyrodb.rows_{table} has format {found}, and this program reads {FORMAT}: open it with the version of "
            "KyroDB that wrote it"
        )
