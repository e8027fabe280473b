from pathlib import Path
import numpy as np
from pykyro.engine.options import RemoteOptions
from pykyro.model.cold_tier import ColdTier
from pykyro.model.requests import SearchRequest
from tests.engine.opening import fill, nearest, open_small, vectors


def test_smoke(tmp_path: Path, services: Path) -> None:
    rows = vectors(3000)
    cold = ColdTier("postgres", "kyrodb")
    local = open_small(tmp_path / "l")
    remote = open_small(tmp_path / "r", cold_tier=cold, remote=RemoteOptions(services_file=services))
    for engine in (local, remote):
        fill(engine, rows)
        engine.flush()
        fill(engine, rows[:500] + 1, first_id=200)
    q = vectors(20, seed=9)
    for exact in (False, True):
        for v in q:
            a = local.search(SearchRequest(v, 10, exact=exact))
            b = remote.search(SearchRequest(v, 10, exact=exact))
            if exact:
                assert [(h.doc_id, h.score) for h in a.hits] == [(h.doc_id, h.score) for h in b.hits]
            print(len(set(h.doc_id for h in a.hits) & {h.doc_id for h in b.hits}), b.plan[:300])
    assert remote.get(5).vector.tolist() == rows[4].tolist()
    assert remote.documents == local.documents
    remote.flush()
    remote.close()
    remote = open_small(tmp_path / "r", remote=RemoteOptions(services_file=services))
    a = local.search(SearchRequest(q[0], 10, exact=True)); b = remote.search(SearchRequest(q[0], 10, exact=True))
    assert [(h.doc_id, h.score) for h in a.hits] == [(h.doc_id, h.score) for h in b.hits]
    remote.close(); local.close()
