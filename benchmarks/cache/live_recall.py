"""Recall as the server samples it while it serves, against the truth worked out beforehand, and its cost."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import dataset, store
from pykyro.engine.engine import open_engine
from pykyro.engine.options import RecallOptions
from pykyro.model.limits import RECALL_PROCESSOR_SHARE
from pykyro.model.requests import SearchRequest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="directory with docs.npy, queries.npy, gt_ids.npy")
    parser.add_argument("--count", type=int, default=20_000, help="documents to store")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--qps", type=float, default=100.0)
    options = parser.parse_args()
    data = dataset.load(options.data, options.count)
    questions, truth = data.queries[: len(data.truth)], data.truth + 1
    print(f"{data.name}, one segment; {options.qps:.0f} searches a second for {options.seconds:.0f} s")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data"
        store.one_segment(path, data).close()
        watched = RecallOptions(processor_share=RECALL_PROCESSOR_SHARE)
        engine = open_engine(path, replace(store.options(data, background=True), recall=watched))
        found = asked = 0
        started_s, used_s = time.monotonic(), os.times().user + os.times().system
        while (elapsed_s := time.monotonic() - started_s) < options.seconds:
            at = asked % len(questions)
            # With an ef of its own a search goes past the query cache, so that every one is a walk.
            result = engine.search(SearchRequest(questions[at], 10, ef_search=engine.ef_search))
            found += len({hit.doc_id for hit in result.hits} & set(truth[at].tolist()))
            asked += 1
            time.sleep(max(0.0, asked / options.qps - elapsed_s))
        report = engine.recall.report()
        engine.close()
        used_s = os.times().user + os.times().system - used_s
    assert report.overall is not None
    true = found / (10 * asked)
    print(f"offline recall@10  {true:.4f} over {asked} searches")
    print(
        f"sampled            {report.overall.mean:.4f}, 95 % interval {report.overall.low:.4f} to "
        f"{report.overall.high:.4f}, {report.samples} samples; off by {abs(report.overall.mean - true):.4f}"
    )
    print(
        f"processor          {100 * report.processor_s / options.seconds:.2f} % of one, of "
        f"{100 * used_s / options.seconds:.0f} % that the process used"
    )


if __name__ == "__main__":
    main()
