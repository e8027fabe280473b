"""What holds for every test."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.engine.remote.postgres import Postgres

_HERE = Path(__file__).parent

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile(
    "kyrodb", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("kyrodb")


_LONG_FIRST = (
    "rig",
    "siege",
    "memory",
    "embedded",
    "operations",
    "server",
    "contract",
    "regress",
    "migration",
    "cli",
    "client",
    "backup",
    "crash",
    "engine",
)
"""Folders whose files take long. Of two processes that run whole files one would wait long for the other when such a
file came last."""


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist gives out the files with most tests first, and the longest have few.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {_HERE / folder: rank for rank, folder in enumerate(_LONG_FIRST)}

    def rank(item: pytest.Item) -> int:
        return next((ranks[above] for above in item.path.parents if above in ranks), len(ranks))

    items.sort(key=rank)


_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@pytest.fixture(autouse=True, scope="session")
def _nothing_waits_for_the_platter() -> Iterator[None]:
    """No test cuts the power of its own machine: what an fsync is good for is shown on disks in memory, which lose
    what was not synced, and with processes of their own, servers among them, whose fsyncs are real. In this process
    an fsync takes no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(os, "fdatasync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A real PostgreSQL with pgvector, started once, by the first test that wants it."""
    from tests.engine.remote.postgres import started

    with started(tmp_path_factory.mktemp("services")) as server:
        yield server


@pytest.fixture
def services(postgres: Postgres) -> Path:
    """A file of connection services, `kyrodb` leading to an empty database there."""
    return postgres.fresh()


@pytest.fixture(autouse=True)
def _logging_stays_on() -> Iterator[None]:
    """A test, or a module it imports, that silences logging for good would take the records of others away: it fails
    here, instead of failing them."""
    _require_logging("before")
    yield
    try:
        _require_logging("after")
    finally:
        logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def _signals_do_what_they_did() -> Iterator[None]:
    """A server that a test runs in its own process sets what signals do; the next test, and every process it starts,
    would inherit that."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    yield
    for number, handler in before.items():
        if handler is not None:
            signal.signal(number, handler)


def _require_logging(when: str) -> None:
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "pykyro"]
    silenced = [name for name in names if logging.getLogger(name).level != logging.NOTSET]
    assert not silenced, f"{when} this test these loggers have a level of their own: {silenced}"
    assert logging.root.manager.disable == logging.NOTSET, f"logging was switched off {when} this test"
