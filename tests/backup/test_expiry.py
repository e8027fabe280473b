"""A chain of backups that begins before a document had an instant: restored, what is due is gone."""

from __future__ import annotations

import numpy as np
from tests.backup.played import DIMENSION, RESTORED, Played
from tests.crash.clock import FakeClock

from pykyro.backup.history.timeline import plan_backup
from pykyro.engine.engine import open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.expiry import Expiry
from pykyro.model.requests import Put
from pykyro.model.types import Document
from pykyro.storage.manifest import read_manifest

LATER_S = 3_000_000_000


def put(doc_id: int, expiry: Expiry | None = None) -> Put:
    return Put(Document(doc_id, np.ones(DIMENSION, np.float32), {}), expiry=expiry)


def test_a_restored_database_loses_what_is_due() -> None:
    past = Played()
    past.write(put(1))
    past.back_up()
    past.write(put(2, Expiry(at_us=LATER_S * 1_000_000)))
    past.write(put(3, Expiry(at_us=(LATER_S + 10) * 1_000_000)))
    past.back_up(incremental=True)
    past.close()
    past.restored(plan_backup(past.catalog, past.backups[0].id))
    assert read_manifest(past.disk, RESTORED).format == 1
    past.restored(plan_backup(past.catalog, past.backups[1].id))
    assert read_manifest(past.disk, RESTORED).format == 4
    clock = FakeClock(LATER_S, tick_us=0)
    engine = open_engine(
        RESTORED,
        EngineOptions(DIMENSION, background=False),
        filesystem=past.disk,
        clock=clock,
        builder=InlineBuilder(past.disk),
    )
    assert engine.documents == 2
    clock.advance(10)
    assert engine.documents == 1
    assert engine.get(1) is not None
    engine.close()
