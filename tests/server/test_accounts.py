"""Usage over an engine whose disk fails for a while."""

from __future__ import annotations

import asyncio

from tests.crash.fault_filesystem import Fault, FaultFS

from kyrodb.config import Settings
from kyrodb.engine.builder import InlineBuilder
from kyrodb.engine.engine import Engine, open_engine
from kyrodb.engine.options import EngineOptions
from kyrodb.server import accounts as module
from kyrodb.server.accounts import Accounts
from kyrodb.server.vitals import Vitals

SPACE_CALLS = frozenset(("create", "write", "sync"))


def engine_on(disk: FaultFS) -> Engine:
    options = EngineOptions(4, background=False)
    return open_engine("/data", options, filesystem=disk, builder=InlineBuilder(disk))


def test_a_disk_that_refuses_degrades_health_and_is_tried_again() -> None:
    disk = FaultFS()
    engine = engine_on(disk)
    accounts = Accounts(engine)
    vitals = Vitals(Settings())
    vitals.accounts = accounts
    accounts.ledger.of("acme").queries = 3
    disk.faults.append(Fault(0, "error", lasting=True, calls=SPACE_CALLS))

    async def some_seconds() -> None:
        task = asyncio.create_task(accounts.run())
        while not accounts.fault:
            await asyncio.sleep(0.01)
        assert "usage is not being saved" in "; ".join(vitals.findings(None).warnings)
        disk.heal()
        while accounts.fault:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(some_seconds())
    engine.close()
    again = engine_on(disk)
    assert Accounts(again).ledger.counts() == {"acme": (3, 0, 0)}
    again.close()


def test_nothing_is_written_after_the_end() -> None:
    disk = FaultFS()
    engine = engine_on(disk)
    accounts = Accounts(engine)
    accounts.close()
    accounts.ledger.of("acme").queries = 1
    calls = len(disk.calls)
    accounts.close()
    assert len(disk.calls) == calls
    engine.close()


def test_saving_comes_more_often_than_a_bill_may_lose() -> None:
    assert module.SAVE_EVERY_S <= 1.0 < module.EXPORT_EVERY_S
