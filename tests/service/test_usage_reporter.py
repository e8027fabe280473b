"""Usage over an engine whose disk fails for a while."""

from __future__ import annotations

import asyncio

from tests.crash.fault_filesystem import Fault, FaultFS

from pykyro.config import Settings
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.service import usage_reporter as module
from pykyro.service.server_state import ServerState
from pykyro.service.usage_reporter import UsageReporter

SPACE_CALLS = frozenset(("create", "write", "sync"))


def engine_on(disk: FaultFS) -> Engine:
    options = EngineOptions(4, background=False)
    return open_engine("/data", options, filesystem=disk, builder=InlineBuilder(disk))


def test_a_disk_that_refuses_degrades_health_and_is_tried_again() -> None:
    disk = FaultFS()
    engine = engine_on(disk)
    usage_reporter = UsageReporter(engine)
    server_state = ServerState(Settings())
    server_state.usage_reporter = usage_reporter
    usage_reporter.ledger.of("acme").queries = 3
    disk.faults.append(Fault(0, "error", lasting=True, calls=SPACE_CALLS))

    async def some_seconds() -> None:
        task = asyncio.create_task(usage_reporter.run())
        while not usage_reporter.fault:
            await asyncio.sleep(0.01)
        assert "usage is not being saved" in "; ".join(server_state.findings(None).warnings)
        disk.heal()
        while usage_reporter.fault:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(some_seconds())
    engine.close()
    again = engine_on(disk)
    assert UsageReporter(again).ledger.counts() == {"acme": (3, 0, 0)}
    again.close()


def test_nothing_is_written_after_the_end() -> None:
    disk = FaultFS()
    engine = engine_on(disk)
    usage_reporter = UsageReporter(engine)
    usage_reporter.close()
    usage_reporter.ledger.of("acme").queries = 1
    calls = len(disk.calls)
    usage_reporter.close()
    assert len(disk.calls) == calls
    engine.close()


def test_saving_comes_more_often_than_a_bill_may_lose() -> None:
    assert module.SAVE_EVERY_S <= 1.0 < module.EXPORT_EVERY_S
