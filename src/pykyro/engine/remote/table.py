"""What is asked of the table: one statement a question, each proving that the table is still ours.

Every statement reads the row of the collection in kyrodb.collections with the same snapshot. When that names another
writer, somebody opened a copy of this directory and claimed the table; when its position is behind ours, an old
backup was put in its place. Then nothing is answered. Rows from `end` on belong to a seal that is not known here yet,
and never count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from psycopg import sql
from pyroaring import BitMap

from pykyro.engine.remote.link import Link, Session, VectorValue
from pykyro.engine.remote.rows import doc_id_of, vectors_of
from pykyro.engine.remote.schema import OPERATORS, STATES, rows_table
from pykyro.engine.remote.sql_filter import SqlFilter
from pykyro.model.distance import norms
from pykyro.model.errors import FailedPrecondition, ResourceExhausted
from pykyro.model.filter import Filter
from pykyro.model.limits import REMOTE_METADATA_BYTES_MAX
from pykyro.model.types import LSN, Matrix, Metric, Rows

if TYPE_CHECKING:
    from pykyro.engine.memory import EngineMemory
    from pykyro.engine.remote.fetched import RecentRows
    from pykyro.engine.remote.replica import Replica

EF_MAX: Final = 1000
_FOUND: Final = (
    "r.row, r.doc_key, r.position, "
    f"CASE WHEN sum(octet_length(r.wire)) OVER () <= {REMOTE_METADATA_BYTES_MAX} THEN r.wire END, "
    "r.reserved, r.embedding, r.distance"
)
"""Of the rows of a search; their metadata is not sent when all of it together is too much."""
_STATEMENTS_MAX: Final = 256
DOCUMENT: Final = "r.row, r.doc_key, r.position, r.wire, r.reserved, r.embedding"


@dataclass(frozen=True, slots=True)
class Documents:
    """Rows that were read, and of a search their distances as PostgreSQL sees them, in order."""

    rows: Rows
    doc_ids: npt.NDArray[np.uint64]
    positions: npt.NDArray[np.uint64]
    public: list[bytes]
    reserved: list[bytes]
    vectors: Matrix
    norms: npt.NDArray[np.float64]
    distances: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Which:
    """Rows below `end`, but those that are `hidden`, that satisfy `condition`."""

    end: int
    hidden: BitMap
    condition: Filter | None


class RemoteTable:
    """The table of one collection, as readers see it. Any thread may call any method; each raises RemoteAway,
    Unavailable, FailedPrecondition."""

    def __init__(self, link: Link, table: str, dimension: int, metric: Metric) -> None:
        self.link = link
        self.table = table
        self.dimension = dimension
        self.metric = metric
        self.writer = ""
        """The name under which the table is claimed; empty as long as it is not."""
        self.writers: set[str] = set()
        """All names under which this directory may have claimed it."""
        self.sealed_position: LSN = 0
        """That of MANIFEST: the table holds no less."""
        self.refusal = ""
        """Why the table is not to be used; empty while it may."""
        self.replica: Replica | None = None
        """Asked first, if there is one."""
        self._recent: RecentRows | None = None
        self._statements: dict[tuple[str, int, bool], tuple[bytes, str]] = {}

    def nearest(self, which: Which, query: VectorValue, limit: int, ef: int | None) -> tuple[Documents, str]:
        """The `limit` nearest rows by the index, walked with `ef`, or without it; and the statement."""
        where, parameters = self.where(which)
        statement, shown = self._nearest(where.as_string(), limit, by_index=ef is not None)
        found, by_replica = self._run(
            statement, [query, *parameters, query, self.table], None if ef is None else min(ef, EF_MAX)
        )
        if by_replica:
            shown += " -- asked of the replica"
        if found and found[0][3] is None:
            raise ResourceExhausted(
                f"the metadata of the {len(found)} nearest documents has more than {REMOTE_METADATA_BYTES_MAX >> 20} "
                "MiB, the most that is read from PostgreSQL at once: ask for fewer"
            )
        return self.documents(found, with_distances=True), shown

    def _nearest(self, where: str, limit: int, *, by_index: bool) -> tuple[bytes, str]:
        """The statement, and its part that is worth showing. To put one together takes as long as to send it."""
        key = where, limit, by_index
        known = self._statements.get(key)
        if known is None:
            distance = sql.SQL("r.embedding {} %s").format(sql.SQL(OPERATORS[self.metric]))
            inner = sql.SQL(
                "SELECT {document}, {distance} AS distance FROM {rows} r WHERE {where} ORDER BY {order} LIMIT {limit}"
            ).format(
                document=sql.SQL(DOCUMENT),
                distance=distance,
                rows=rows_table(self.table),
                where=sql.SQL(where),
                order=distance if by_index else sql.SQL("({}) + 0").format(distance),
                limit=sql.Literal(limit),
            )
            if len(self._statements) >= _STATEMENTS_MAX:
                self._statements.clear()
            known = self._whole(inner, _FOUND).as_bytes(), inner.as_string()
            self._statements[key] = known
        return known

    def read(self, rows: Sequence[int]) -> Documents:
        """These rows, those that are there, in any order."""
        inner = sql.SQL("SELECT {} FROM {} r WHERE r.row = ANY(%s)").format(
            sql.SQL(DOCUMENT), rows_table(self.table)
        )
        return self.documents(self.ask(inner, [list(rows)], DOCUMENT))

    def count(self, which: Which) -> tuple[int, LSN]:
        """How many rows there are, in the table of which position."""
        where, parameters = self.where(which)
        inner = sql.SQL("SELECT count(*) AS n FROM {} r WHERE {}").format(rows_table(self.table), where)
        (found,) = self.ask(inner, parameters, "r.n, s.sealed_position")
        return int(found[0]), int(found[1])

    def count_among(self, which: Which) -> tuple[int, LSN]:
        """How many of the hidden rows satisfy the condition, and in the table of which position."""
        condition = SqlFilter(which.condition)
        inner = sql.SQL("SELECT count(*) AS n FROM {} r WHERE r.row = ANY(%s) AND ({})").format(
            rows_table(self.table), condition.text
        )
        parameters = [list(which.hidden), *condition.parameters]
        (found,) = self.ask(inner, parameters, "r.n, s.sealed_position")
        return int(found[0]), int(found[1])

    def row_numbers(self, which: Which) -> Rows:
        """The numbers of these rows, ascending."""
        where, parameters = self.where(which)
        inner = sql.SQL("SELECT r.row FROM {} r WHERE {} ORDER BY r.row").format(
            rows_table(self.table), where
        )
        return np.array([row for (row,) in self.ask(inner, parameters, "r.row")], np.int64)

    def doc_ids(self, which: Which) -> npt.NDArray[np.uint64]:
        """The ids of these rows, ascending by row."""
        where, parameters = self.where(which)
        inner = sql.SQL("SELECT r.row, r.doc_key FROM {} r WHERE {} ORDER BY r.row").format(
            rows_table(self.table), where
        )
        found = self.ask(inner, parameters, "r.doc_key")
        return np.array([doc_id_of(key) for (key,) in found], np.uint64)

    def recent(self, memory: EngineMemory) -> RecentRows:
        """Rows of this table that were read lately, the same ones for every state of it."""
        if self._recent is None:
            from pykyro.engine.remote.fetched import RecentRows

            self._recent = RecentRows(memory.budget.account("rows read from PostgreSQL"))
        return self._recent

    def forget_recent(self) -> None:
        """Let go of what was read."""
        if self._recent is not None:
            self._recent.forget()

    def where(self, which: Which) -> tuple[sql.Composable, list[Any]]:
        """The condition that says which rows, and its parameters."""
        condition = SqlFilter(which.condition)
        parameters = [which.end, *condition.parameters]
        where = sql.SQL("r.row < %s AND ({})").format(condition.text)
        if which.hidden:
            where = sql.SQL("{} AND NOT r.row = ANY(%s)").format(where)
            parameters.append(list(which.hidden))
        return where, parameters

    def ask(self, inner: sql.Composed, parameters: list[Any], columns: str) -> list[tuple[Any, ...]]:
        """The `columns` of what `inner` finds, in its order."""
        return self._run(self._whole(inner, columns).as_bytes(), [*parameters, self.table], None)[0]

    def _whole(self, inner: sql.Composed, columns: str) -> sql.Composed:
        return sql.SQL(
            "SELECT s.writer, s.sealed_position, s.holder, {columns} FROM {states} s "
            "LEFT JOIN LATERAL ({inner}) r ON TRUE WHERE s.id = %s"
        ).format(columns=sql.SQL(columns), states=STATES, inner=inner)

    def _run(
        self, statement: bytes, parameters: list[Any], ef: int | None
    ) -> tuple[list[tuple[Any, ...]], bool]:
        """What a statement finds, and whether a replica answered."""
        if self.refusal:
            raise FailedPrecondition(self.refusal)

        def work(session: Session) -> list[tuple[Any, ...]]:
            if ef is not None:
                session.set_ef(ef)
            with session.connection.cursor(binary=True) as cursor:
                return cursor.execute(statement, parameters).fetchall()

        sealed = self.sealed_position  # as it is before: a seal may come to its end meanwhile
        found = None
        if self.replica is not None:
            found = self.replica.ask(work, lambda found: self._is_reached(found, sealed))
        by_replica = found is not None
        if found is None:
            found = self.link.call(work)
            self._check(found, sealed)
        return [row[3:] for row in found if row[3] is not None], by_replica

    def _is_reached(self, found: list[tuple[Any, ...]], sealed: LSN) -> bool:
        """Whether a replica has all that is sealed. Under an earlier claim a row may have been another document."""
        return bool(found) and found[0][0] == self.writer != "" and found[0][1] >= sealed

    def _check(self, found: list[tuple[Any, ...]], sealed: LSN) -> None:
        """Raises FailedPrecondition when the table is not, or no more, what it should be."""
        if not found:
            raise FailedPrecondition(missing(self.table))
        writer, position, holder = found[0][:3]
        if writer not in self.writers:
            self.refusal = taken_over(self.table, holder)
        elif position < sealed:
            self.refusal = behind(self.table, position, sealed)
        if self.refusal:
            raise FailedPrecondition(self.refusal)

    def documents(self, found: list[tuple[Any, ...]], *, with_distances: bool = False) -> Documents:
        count = len(found)
        columns: list[Any] = list(zip(*found, strict=True)) if found else [[]] * 7
        vectors = vectors_of(list(columns[5]), self.dimension)
        return Documents(
            np.array(columns[0], np.int64),
            np.fromiter(map(doc_id_of, columns[1]), np.uint64, count),
            np.array(columns[2], np.uint64),
            list(columns[3]),
            list(columns[4]),
            vectors,
            norms(vectors),
            np.array(columns[6], np.float64) if with_distances else np.empty(0),
        )


def taken(documents: Documents, rows: Rows) -> Documents:
    """Those at these places."""
    at = rows.tolist()
    return Documents(
        documents.rows[rows],
        documents.doc_ids[rows],
        documents.positions[rows],
        [documents.public[row] for row in at],
        [documents.reserved[row] for row in at],
        documents.vectors[rows],
        documents.norms[rows],
        documents.distances[rows] if len(documents.distances) else documents.distances,
    )


def joined(first: Documents, second: Documents) -> Documents:
    """Both, without distances."""
    return Documents(
        np.concatenate([first.rows, second.rows]),
        np.concatenate([first.doc_ids, second.doc_ids]),
        np.concatenate([first.positions, second.positions]),
        first.public + second.public,
        first.reserved + second.reserved,
        np.concatenate([first.vectors, second.vectors]),
        np.concatenate([first.norms, second.norms]),
        np.empty(0),
    )


def missing(table: str) -> str:
    return (
        f"kyrodb.collections has no row {table}: the table of this collection was dropped, or the service leads to "
        "another database"
    )


def taken_over(table: str, holder: str) -> str:
    return (
        f"kyrodb.rows_{table} was claimed by another writer, {holder}: a copy of this directory is in use there. "
        "Only one of the two may go on"
    )


def behind(table: str, position: int, sealed: int) -> str:
    return (
        f"kyrodb.rows_{table} holds positions up to {position}, and this directory has given up its log up to "
        f"{sealed}: an older backup of the table was restored. Restore both: kyrodb_backup restore takes files of a "
        "position that the table holds, if a backup of KyroDB is older than that of PostgreSQL"
    )
