"""Backups made before there were values with types, and after: each restores with the format its values need."""

from __future__ import annotations

import numpy as np
from tests.backup.played import DIMENSION, RESTORED, Played
from tests.model.values import kept

from pykyro.backup.history.timeline import plan_backup, plan_position
from pykyro.backup.offline_reader import OfflineReader
from pykyro.model.requests import Put
from pykyro.model.typed_text import tags_of
from pykyro.model.types import Document
from pykyro.storage.manifest import read_manifest


def put(doc_id: int, value: object) -> Put:
    return Put(Document(doc_id, np.ones(DIMENSION, np.float32), kept({"v": value})))


def test_a_chain_that_begins_before_there_were_types_restores_at_every_position() -> None:
    past = Played()
    past.write(put(1, "x"))
    past.back_up()
    past.write(put(2, 7))
    past.write(put(3, [None, True]))
    past.back_up(incremental=True)
    past.close()
    catalog = past.catalog
    assert past.restored(plan_backup(catalog, past.backups[0].id)) == past.state_at(1)
    assert read_manifest(past.disk, RESTORED).format == 1
    for lsn in past.states:
        if lsn < min(lsn for lsn, state in past.states.items() if state):
            continue
        assert past.restored(plan_position(catalog, lsn)) == past.state_at(lsn)
    assert read_manifest(past.disk, RESTORED).format == 3
    tags = {d.doc_id: tags_of(d.metadata) for d in OfflineReader(past.disk, RESTORED).documents()}
    assert tags == {1: "", 2: "i", 3: "l"}
