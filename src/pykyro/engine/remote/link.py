"""Connections to the PostgreSQL of a cold tier: a few that wait for work, and what is known of the other side.

A connection that was idle may have been cut without our knowing; so what fails on one of those is done again on a new
one. When a new one fails too the other side is away: for a moment nobody else tries, and everybody is told why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from configparser import ConfigParser
from configparser import Error as ConfigFileError
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg.adapt import Dumper
from psycopg.conninfo import make_conninfo
from psycopg.pq import Format

from pykyro.engine.options import RemoteOptions
from pykyro.engine.remote.errors import RemoteAway
from pykyro.model.errors import FailedPrecondition, KyroError, Unavailable

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Answer = TypeVar("Answer")

_AWAY_S: Final = 1.0
"""So long nobody tries again after a connection could not be made."""
_EXTENSION_MIN: Final = (0, 8)
_EXTENSION: Final = """
SELECT e.extversion, t.oid, set_config('search_path', quote_ident(n.nspname) || ', pg_catalog', false),
       set_config('jit', 'off', false)
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector'
WHERE e.extname = 'vector'"""
_SESSION: Final = """
SELECT set_config('statement_timeout', %s, false), set_config('hnsw.iterative_scan', 'relaxed_order', false)"""


class VectorValue:
    """A vector as a parameter: `data` is its binary form (rows.vector_bytes)."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _VectorDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: VectorValue) -> bytes:
        return obj.data


class Session:
    """A connection, and the effort of searches that it is set to."""

    __slots__ = ("connection", "ef")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.ef = 0

    def set_ef(self, ef: int) -> None:
        """Have searches of the index keep so many candidates."""
        if self.ef != ef:
            self.connection.execute("SELECT set_config('hnsw.ef_search', %s, false)", [str(ef)])
            self.ef = ef


class Link:
    """To the server that one connection service names. Any thread may call any method."""

    def __init__(self, service: str, options: RemoteOptions, purpose: str) -> None:
        """`purpose` is shown by the other side in pg_stat_activity."""
        self.service = service
        self._options = options
        self._purpose = purpose[:60]
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._room = threading.BoundedSemaphore(options.connections_max)
        self._away = ""
        self._away_since_s = self._try_from_s = 0.0
        self._closed = False

    @property
    def away(self) -> str:
        """Why the other side is away, as far as is known; empty while it is there."""
        return self._away

    @property
    def away_s(self) -> float:
        """For how long it has been away; 0 while it is there."""
        return time.monotonic() - self._away_since_s if self._away else 0.0

    def call(self, work: Callable[[Session], Answer]) -> Answer:
        """Do some reading. Raises RemoteAway, Unavailable, FailedPrecondition."""
        if not self._room.acquire(timeout=self._options.statement_timeout_ms / 1000):
            raise Unavailable(f"all {self._options.connections_max} connections to {self.service!r} are busy")
        try:
            session = self._take()
            if session is not None:
                try:
                    return self._done(session, work)
                except RemoteAway:
                    self._drop_idle()
            return self._done(Session(self.connect()), work)
        finally:
            self._room.release()

    def connect(self) -> Connection:
        """A connection of the caller's own, in autocommit. Raises RemoteAway, FailedPrecondition."""
        if self._closed:
            raise Unavailable("the database is closed")
        if self._away and time.monotonic() < self._try_from_s:
            raise self._refusal()
        if self._away:
            # One tries; the others need not wait as long as it may take.
            self._try_from_s = time.monotonic() + self._options.connect_timeout_s
        try:
            connection: Connection = psycopg.connect(
                conninfo_of(self.service, self._options.services_file),
                autocommit=True,
                connect_timeout=self._options.connect_timeout_s,
                application_name=self._purpose,
                tcp_user_timeout=self._options.statement_timeout_ms,
            )
        except psycopg.Error as error:
            raise self._note(error) from error
        try:
            self._prepare(connection)
        except psycopg.Error as error:
            connection.close()
            raise self._note(error) from error
        except BaseException:
            connection.close()
            raise
        self._away = ""
        return connection

    def lost(self, error: BaseException) -> KyroError:
        """What to raise for a connection that was cut: a new one may do."""
        return RemoteAway(
            f"the connection to PostgreSQL of the service {self.service!r} was lost: {_told(error)}"
        )

    def _note(self, error: BaseException) -> KyroError:
        """Remember why no connection can be made, and what to raise."""
        now_s = time.monotonic()
        if not self._away:
            self._away_since_s = now_s
        self._away = _told(error)
        self._try_from_s = now_s + _AWAY_S
        return self._refusal()

    def close(self) -> None:
        """Close what is idle; connect no more."""
        self._closed = True
        self._drop_idle()

    def _refusal(self) -> RemoteAway:
        return RemoteAway(f"PostgreSQL of the service {self.service!r} does not answer: {self._away}")

    def _take(self) -> Session | None:
        with self._lock:
            while self._idle:
                session = self._idle.pop()
                if not session.connection.closed:
                    return session
        return None

    def _drop_idle(self) -> None:
        with self._lock:
            sessions, self._idle = self._idle, []
        for session in sessions:
            session.connection.close()

    def _done(self, session: Session, work: Callable[[Session], Answer]) -> Answer:
        try:
            answer = work(session)
        except psycopg.errors.QueryCanceled as error:
            session.connection.close()
            raise Unavailable(
                f"PostgreSQL of the service {self.service!r} took longer than "
                f"{self._options.statement_timeout_ms} ms (cold_tier.statement_timeout_ms)"
            ) from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            session.connection.close()
            raise self.lost(error) from error
        except psycopg.Error as error:
            session.connection.close()
            raise refused(self.service, error) from error
        except BaseException:
            session.connection.close()
            raise
        self._away = ""
        with self._lock:
            if not self._closed:
                self._idle.append(session)
                return answer
        session.connection.close()
        return answer

    def _prepare(self, connection: Connection) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise FailedPrecondition(
                f"the database of the service {self.service!r} has the encoding {encoding}; it must be UTF8"
            )
        found = connection.execute(_EXTENSION).fetchone()
        if found is None:
            try:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            except psycopg.DatabaseError as error:
                raise FailedPrecondition(
                    f"the database of the service {self.service!r} has no extension vector (pgvector), and creating "
                    f"it failed: {_told(error)}"
                ) from error
            found = connection.execute(_EXTENSION).fetchone()
        assert found is not None
        if tuple(int(part) for part in found[0].split(".")[:2]) < _EXTENSION_MIN:
            raise FailedPrecondition(
                f"pgvector of the service {self.service!r} is {found[0]}; it must be "
                f"{'.'.join(map(str, _EXTENSION_MIN))} or later: ALTER EXTENSION vector UPDATE"
            )
        dumper = type("VectorDumper", (_VectorDumper,), {"oid": found[1]})
        connection.adapters.register_dumper(VectorValue, dumper)
        # Known only once the library of the extension is loaded, which a value of its type does.
        connection.execute("SELECT '[1]'::vector")
        connection.execute(_SESSION, [str(self._options.statement_timeout_ms)])


def conninfo_of(service: str, services_file: Path | None) -> str:
    """How to reach a service. Raises FailedPrecondition when the file does not say."""
    if services_file is None:
        return make_conninfo(service=service)
    parser = ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    try:
        parser.read_string(services_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ConfigFileError) as error:
        raise FailedPrecondition(
            f"{services_file} (cold_tier.services_file) cannot be read: {type(error).__name__}"
        ) from error
    if not parser.has_section(service):
        raise FailedPrecondition(f"{services_file} (cold_tier.services_file) has no section [{service}]")
    try:
        return make_conninfo(**dict(parser.items(service)))
    except psycopg.Error as error:
        raise FailedPrecondition(
            f"{services_file} (cold_tier.services_file), section [{service}]: {_told(error)}"
        ) from error


def refused(service: str, error: psycopg.Error) -> KyroError:
    """What to raise for a statement that the other side refused."""
    return FailedPrecondition(f"PostgreSQL of the service {service!r} refused: {_told(error)}")


def _told(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
