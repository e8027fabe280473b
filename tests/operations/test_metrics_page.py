"""What real servers export is what the catalogue declares: every metric, with its type, help text and labels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.contract.test_certificates import settings as tls_settings
from tests.contract.test_tls import CA, issue
from tests.operations.observed import get, metric
from tests.patience import wait_until
from tests.server.running import running_server

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.telemetry.catalogue import METRICS

DIMENSION = 16
DECLARED = {metric.name: metric for metric in METRICS}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Pages of servers whose settings together make every metric appear."""
    return [
        _with_unproved_answers(tmp_path_factory.mktemp("rescored")),
        _with_tls_and_backups(tmp_path_factory.mktemp("tls")),
        *_of_leader_and_follower(tmp_path_factory.mktemp("archive")),
    ]


def _with_unproved_answers(directory: Path) -> str:
    settings = {
        "hnsw__dimension": DIMENSION,
        "hnsw__max_elements": 1000,
        "cache__query_cache_mode": "rescored",
        # So the first check allows unproved answers.
        "cache__query_cache_min_recall": 0,
    }
    source = np.random.default_rng(1)
    with running_server(directory, **settings) as server:
        rows = source.standard_normal((500, DIMENSION)).tolist()
        server.stub.BulkInsert(
            pb.InsertRequest(doc_id=doc_id, embedding=row) for doc_id, row in enumerate(rows, 1)
        )

        def is_unproved_answer_allowed() -> bool:
            question = np.ones(DIMENSION) + 0.2 * source.standard_normal(DIMENSION)
            server.stub.Search(pb.SearchRequest(query_embedding=question.tolist(), k=10))
            return "kyrodb_query_cache_threshold " in get(server, "/metrics")[1]

        wait_until(is_unproved_answer_allowed, "unproved answers are allowed")
        wait_until(lambda: "kyrodb_recall_estimate{" in get(server, "/metrics")[1], "recall is measured")
        return get(server, "/metrics")[1]


def _with_tls_and_backups(directory: Path) -> str:
    certificates = directory / "tls"
    certificates.mkdir()
    issue(certificates, CA, "localhost")
    settings = {
        **tls_settings(certificates),
        "hnsw__dimension": DIMENSION,
        "backup__dir": directory / "backups",
        "backup__interval_secs": 1,
    }
    with running_server(directory, **settings) as server:
        wait_until(lambda: metric(server, "backups_made_total") > 0, "a backup is made")
        return get(server, "/metrics")[1]


def _of_leader_and_follower(directory: Path) -> list[str]:
    store = f"file://{directory}/archive"
    (directory / "leader").mkdir()
    (directory / "follower").mkdir()
    with running_server(directory / "leader", hnsw__dimension=DIMENSION, archive__url=store) as leader:
        leader.stub.Insert(pb.InsertRequest(doc_id=1, embedding=[1.0] * DIMENSION))
        wait_until(lambda: metric(leader, "archive_commit") > 0, "something is shipped")
        with running_server(
            directory / "follower", hnsw__dimension=DIMENSION, archive__follow=store
        ) as follower:
            return [get(server, "/metrics")[1] for server in (leader, follower)]


def test_types_and_help_texts_are_the_declared_ones(pages: list[str]) -> None:
    for page in pages:
        described = re.findall(r"^# HELP (\S+) (.+)\n# TYPE (\S+) (\S+)$", page, flags=re.MULTILINE)
        assert len(described) == page.count("# HELP ") == page.count("# TYPE ") > 60
        assert len({name for name, *_ in described}) == len(described)
        for name, help_text, typed_name, kind in described:
            assert (typed_name, help_text, kind) == (name, DECLARED[name].help, DECLARED[name].kind)


def test_every_declared_metric_is_exported_and_no_other(pages: list[str]) -> None:
    exported = {name for page in pages for name in re.findall(r"^# TYPE (\S+)", page, flags=re.MULTILINE)}
    assert exported == DECLARED.keys()


def test_samples_belong_to_the_metric_above_them_and_have_its_labels(pages: list[str]) -> None:
    for page in pages:
        for block in page.split("# HELP ")[1:]:
            _, _, *samples = block.splitlines()
            declared = DECLARED[block.split()[0]]
            ends = ("_bucket", "_sum", "_count") if declared.kind == "histogram" else ("",)
            for sample in samples:
                name, _, labels = sample.rpartition(" ")[0].partition("{")
                assert name in [declared.name + end for end in ends]
                bound = ["le"] if name.endswith("_bucket") else []
                assert re.findall(r'(\w+)="', labels) == [*declared.labels, *bound]
