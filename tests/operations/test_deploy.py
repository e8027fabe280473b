"""The deployment files: they parse, their limits fit the server's, and every metric they name exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.operations.faults import wait_until
from tests.operations.observed import DIMENSION, get, insert, metric
from tests.server.running import RunningServer, running_server

from kyrodb.config import Settings, load_settings
from kyrodb.config.keys import KEYS
from kyrodb.proto import kyrodb_pb2 as pb
from kyrodb.server.vitals import HEARTBEAT_S

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SHUTDOWN_S = Settings().server.shutdown_timeout_secs
PROMETHEUS_LABELS = {"job", "instance", "le", "alertname", "severity"}


def read_yaml(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text("utf-8")))


@pytest.mark.parametrize(
    "path", sorted([*DEPLOY.rglob("*.y*ml"), *DEPLOY.rglob("*.json")]), ids=lambda path: path.name
)
def test_yaml_and_json_parse(path: Path) -> None:
    assert read_yaml(path) if path.suffix != ".json" else json.loads(path.read_text("utf-8"))


# --- systemd --------------------------------------------------------------------------------------


def unit(path: Path) -> dict[str, list[str]]:
    """Values by `Section.Key`; a key may be given more than once."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, separator, value = line.partition("=")
            assert separator, line
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


def seconds(text: str) -> float:
    number, word = re.fullmatch(r"(\d+)(s|min|m|)", text).groups()  # type: ignore[union-attr]
    return float(number) * (60 if word in ("min", "m") else 1)


def test_the_unit_waits_for_the_server_and_gives_it_time_to_stop() -> None:
    service = unit(DEPLOY / "systemd" / "kyrodb.service")
    assert service["Service.Type"] == ["notify"]
    assert seconds(service["Service.TimeoutStopSec"][0]) > SHUTDOWN_S
    assert seconds(service["Service.WatchdogSec"][0]) >= 10 * HEARTBEAT_S
    assert service["Service.ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert service["Service.OOMPolicy"] == ["continue"]
    assert service["Service.UMask"] == ["0077"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_commands_of_the_units_are_understood(path: Path, tmp_path: Path) -> None:
    values = unit(path)
    environment = dict(pair.split("=") for pair in values.get("Service.Environment", [""])[0].split())
    for line in values["Service.ExecStart"]:
        for name, value in environment.items():
            line = line.replace(f"${{{name}}}", f"{tmp_path}{value}")
        program, *arguments = line.replace("/etc/kyrodb", str(tmp_path)).split()
        module = f"kyrodb.cli.{Path(program).name}"
        ended = subprocess.run(
            [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
        )
        # 2 is wrong usage; there is no database here, so most of them fail.
        assert ended.returncode in (0, 1), ended.stderr
        assert "usage:" not in ended.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_finds_the_units_sound_and_hardened(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_text(re.sub(r"^(ExecStart=)\S+", r"\1/bin/true", path.read_text("utf-8"), flags=re.MULTILINE))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert path.name not in verified.stderr, verified.stderr
    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", security.stdout)
    assert level is not None, security.stderr
    assert float(level[1]) < (2.0 if path.name == "kyrodb.service" else 5.0)


# --- containers -----------------------------------------------------------------------------------


def test_the_image_has_what_it_needs() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text("utf-8")
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, flags=re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    ports = {KEYS["server.port"].default, Settings().server.observability_port}
    exposed = re.search(r"^EXPOSE (.+)$", text, flags=re.MULTILINE)
    assert exposed is not None
    assert set(map(int, exposed[1].split())) == ports
    assert text.rindex("\nUSER kyrodb") > text.rindex("\nRUN")
    assert "HEALTHCHECK" in text
    # The root of a volume keeps its name, and a restore has to exchange it.
    (volumes,) = re.findall(r"^VOLUME (.+)$", text, flags=re.MULTILINE)
    data_dir = re.search(r"KYRODB_DATA_DIR=(\S+)", text)
    assert data_dir is not None
    assert str(Path(data_dir[1]).parent) in json.loads(volumes)


def test_compose_stops_gently_and_its_settings_exist() -> None:
    (compose,) = read_yaml(DEPLOY / "docker" / "compose.yaml")
    (service,) = compose["services"].values()
    assert seconds(service["stop_grace_period"]) > SHUTDOWN_S
    assert service["read_only"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for variable in service["environment"]:
        assert variable.removeprefix("KYRODB__").lower().replace("__", ".") in KEYS
    assert (DEPLOY / "docker" / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).exists()


def test_kubernetes_probes_and_configuration(tmp_path: Path) -> None:
    documents = {document["kind"]: document for document in read_yaml(DEPLOY / "kubernetes" / "kyrodb.yaml")}
    pod = documents["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    config = tmp_path / "config.yaml"
    config.write_text(documents["ConfigMap"]["data"]["config.yaml"])
    settings = load_settings(config, {}).settings
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": settings.server.port, "http": settings.server.observability_port}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/health",
        "liveness": "/health",
        "readiness": "/ready",
    }
    assert all(probe["port"] in ports for probe in probes.values())
    # A database whose disk is full still answers reads: it is not killed for that at once.
    assert container["livenessProbe"]["periodSeconds"] * container["livenessProbe"]["failureThreshold"] >= 600
    assert pod["terminationGracePeriodSeconds"] > settings.server.shutdown_timeout_secs
    assert pod["enableServiceLinks"] is False
    assert documents["StatefulSet"]["spec"]["replicas"] == 1
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for path in (settings.persistence.data_dir, settings.auth.api_keys_file, config.parent / "x"):
        assert path is not None
    assert str(settings.persistence.data_dir).startswith("/data/")
    assert str(settings.auth.api_keys_file).startswith("/run/secrets/kyrodb/")
    assert {"/data", "/etc/kyrodb", "/run/secrets/kyrodb"} <= set(mounts)


def test_pm2_gives_the_server_time_to_stop() -> None:
    text = (DEPLOY / "pm2" / "ecosystem.config.js").read_text("utf-8")
    timeout = re.search(r"kill_timeout: (\d+)", text)
    assert timeout is not None
    assert int(timeout[1]) > 1000 * SHUTDOWN_S
    assert "instances: 1" in text
    if shutil.which("node"):
        subprocess.run(["node", "--check", str(DEPLOY / "pm2" / "ecosystem.config.js")], check=True)


# --- monitoring -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """Labels of every sample of a running server by its name."""
    directory = tmp_path_factory.mktemp("exported")
    backup: dict[str, Any] = {"backup__dir": directory / "backups", "backup__interval_secs": 3600}
    with running_server(directory, hnsw__dimension=DIMENSION, **backup) as server:
        _use(server)
        # The first one is taken soon after the start.
        wait_until(lambda: metric(server, "backups_made_total") > 0, "a backup is taken")
        wait_until(lambda: "kyrodb_recall_estimate{" in get(server, "/metrics")[1], "recall is measured")
        # Of a server with TLS: see tests/contract/test_certificates.py.
        found: dict[str, set[str]] = {"kyrodb_tls_certificate_remaining_seconds": {"setting"}}
        for line in get(server, "/metrics")[1].splitlines():
            if not line.startswith("#"):
                name, _, labels = line.rpartition(" ")[0].partition("{")
                found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
        yield found


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
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        labels |= {label.strip() for label in group.split(",")}
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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_prometheus_understands_the_rules() -> None:
    for arguments in (
        ["check", "rules", "kyrodb.rules.yml"],
        ["test", "rules", "kyrodb.rules.test.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
    ):
        subprocess.run(["promtool", *arguments], cwd=DEPLOY / "prometheus", check=True)
