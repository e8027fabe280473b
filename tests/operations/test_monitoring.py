"""The files for Prometheus and Grafana: they are understood, and every metric they name exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.operations.observed import DIMENSION, get, insert, metric
from tests.operations.test_deploy import DEPLOY, ROOT, read_yaml
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server

from pykyro.proto import kyrodb_pb2 as pb

PROMETHEUS_LABELS = {"job", "instance", "le", "alertname", "severity"}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The metrics of a running server."""
    directory = tmp_path_factory.mktemp("exported")
    backup: dict[str, Any] = {"backup__dir": directory / "backups", "backup__interval_secs": 3600}
    archive: dict[str, Any] = {"archive__url": directory / "archive"}
    hnsw: dict[str, Any] = {"hnsw__dimension": DIMENSION, "hnsw__max_elements": 1000}
    with running_server(directory, **hnsw, **backup, **archive) as server:
        _use(server)
        # The first one is taken soon after the start.
        wait_until(lambda: metric(server, "backups_made_total") > 0, "a backup is taken")
        wait_until(lambda: "kyrodb_recall_estimate{" in get(server, "/metrics")[1], "recall is measured")
        yield get(server, "/metrics")[1]


@pytest.fixture(scope="module")
def exported(scraped: str) -> dict[str, set[str]]:
    """Labels of every sample by its name."""
    # Of a server with TLS: see tests/contract/test_certificates.py; of a follower: tests/replication/test_servers.py.
    found: dict[str, set[str]] = {
        "kyrodb_tls_certificate_remaining_seconds": {"setting"},
        "kyrodb_follower_lag_seconds": set(),
    }
    for line in scraped.splitlines():
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def _use(server: RunningServer) -> None:
    insert(server, 1)
    server.stub.Search(pb.SearchRequest(query_embedding=[1, 2, 3, 4], k=1))


def expressions() -> Iterator[tuple[str, str]]:
    """Where each PromQL expression of the deployment files stands, and itself."""
    (rules,) = read_yaml(DEPLOY / "prometheus" / "kyrodb.rules.yml")
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads((DEPLOY / "grafana" / "kyrodb.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


EXPRESSIONS = [
    pytest.param(expression, id=f"{where}-{number}")
    for number, (where, expression) in enumerate(expressions())
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_query_names_metrics_and_labels_that_exist(
    exported: dict[str, set[str]], expression: str
) -> None:
    names = re.findall(r"\bkyrodb_\w+", re.sub(r'"[^"]*"', '""', expression))
    assert names or "up{" in expression
    labels = set(re.findall(r"(\w+)(?:=~?|!=)\"", expression))
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        labels |= {label.strip() for label in group.split(",") if label}
    for name in names:
        assert name in exported, name
    known = PROMETHEUS_LABELS.union(*(exported[name] for name in names))
    assert labels <= known, labels - known


def test_the_dashboard_shows_the_metrics_an_operator_has_to_know() -> None:
    shown = set(re.findall(r"\bkyrodb_\w+", (DEPLOY / "grafana" / "kyrodb.json").read_text("utf-8")))
    to_know = set(re.findall(r"`(kyrodb_\w+)", metrics_to_know()))
    assert len(to_know) > 15
    assert to_know <= shown


def alerts() -> list[dict[str, Any]]:
    (rules,) = read_yaml(DEPLOY / "prometheus" / "kyrodb.rules.yml")
    return [rule for group in rules["groups"] for rule in group["rules"]]


def test_there_is_an_alert_for_every_row_of_the_escalation_table() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8").split("## Escalation", 1)[1]
    rows = re.findall(r"^\| (P\d) \| ([^|]+) \|", page, flags=re.MULTILINE)
    wanted = [
        ("P0", "server down for more than 5 minutes", "KyroDBDown", "5m"),
        ("P0", "WAL circuit breaker open for more than 10 minutes", "KyroDBWalBreakerOpen", "10m"),
        ("P1", "objectives missed for more than 5 minutes", "KyroDBSloBreached", "5m"),
        ("P1", "server died (out of memory, crash)", "KyroDBDied", None),
        ("P2", "backups fail", "KyroDBBackupMissing", "10m"),
    ]
    assert rows == [(severity, condition) for severity, condition, _, _ in wanted]
    known = {alert["alert"]: alert for alert in alerts()}
    for severity, _, name, duration in wanted:
        assert known[name]["labels"]["severity"] == severity
        assert known[name].get("for") == duration


def metrics_to_know() -> str:
    """The metrics of the section Quick checks."""
    return (
        (ROOT / "docs" / "operations.md").read_text("utf-8").split("The metrics to know:")[1].split("## ")[0]
    )


def test_every_alert_says_what_to_do_and_where_that_is_written() -> None:
    headings = re.findall(
        r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text("utf-8"), flags=re.MULTILINE
    )
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for alert in alerts():
        assert alert["labels"]["severity"] in ("P0", "P1", "P2")
        assert {"summary", "action", "runbook"} <= set(alert["annotations"])
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in anchors, anchor


NAMED_BY_THE_CONTRACT = {
    "kyrodb_hnsw_latency_ns",
    "kyrodb_inserts_failed",
    "kyrodb_queries_failed",
    "kyrodb_query_latency_ns",
    "kyrodb_uptime_seconds",
    "kyrodb_wal_disk_full_errors",
    "kyrodb_wal_writes_failed",
}
"""Names and types that promtool would have otherwise and scrapers of KyroDB know."""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_complains_of_names_of_the_contract_alone_and_the_page_says_so(scraped: str) -> None:
    ended = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped, capture_output=True, text=True, check=False
    )
    complaints = {line.split()[0] for line in (ended.stdout + ended.stderr).splitlines() if line.strip()}
    assert complaints == NAMED_BY_THE_CONTRACT
    page = (
        (ROOT / "docs" / "metrics.md")
        .read_text("utf-8")
        .split("## Names that promtool", 1)[1]
        .split("\n## ")[0]
    )
    assert set(re.findall(r"`(kyrodb_\w+)`", page)) == NAMED_BY_THE_CONTRACT


def test_names_that_are_said_not_to_be_there_are_not(exported: dict[str, set[str]]) -> None:
    page = (
        (ROOT / "docs" / "metrics.md").read_text("utf-8").split("## Names of KyroDB that are not here", 1)[1]
    )
    absent = re.findall(r"`(kyrodb_\w+)`", page)
    assert absent
    assert not set(absent) & exported.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_prometheus_understands_the_rules() -> None:
    for arguments in (
        ["check", "rules", "kyrodb.rules.yml"],
        ["test", "rules", "kyrodb.rules.test.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
    ):
        subprocess.run(["promtool", *arguments], cwd=DEPLOY / "prometheus", check=True)
