"""The deployment files: they parse, start as they say, and their limits fit the server's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.patience import wait_until
from tests.server.running import running_server

from pykyro.config import Settings, load_settings
from pykyro.config.keys import KEYS
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.server_state import HEARTBEAT_S
from pykyro.version import __version__

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SHUTDOWN_S = Settings().server.shutdown_timeout_secs


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
        module = f"pykyro.cli.{Path(program).name}"
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


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_makes_every_directory_a_unit_works_in(path: Path) -> None:
    """A path of ReadWritePaths= that is not there keeps a unit from starting at all."""
    values = unit(path)
    assert "Service.ReadWritePaths" not in values
    made = [f"/var/lib/{name}" for names in values["Service.StateDirectory"] for name in names.split()]
    environment = dict(pair.split("=") for pair in values.get("Service.Environment", [""])[0].split())
    for directory in [*environment.values(), *values.get("Service.WorkingDirectory", [])]:
        assert any(Path(directory).is_relative_to(place) for place in made), directory


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


IMAGES = [
    pytest.param(image, id=f"{path.name}-{number}")
    for path in sorted([*DEPLOY.rglob("*.y*ml"), *DEPLOY.rglob("Dockerfile")])
    for number, image in enumerate(re.findall(r"(?:image: |-t )(\S*kyrodb\S*)", path.read_text("utf-8")))
]


@pytest.mark.parametrize("image", IMAGES)
def test_images_are_of_this_version(image: str) -> None:
    assert image == f"kyrodb:{__version__}"


def test_compose_starts_as_its_comment_says(tmp_path: Path) -> None:
    """The commands run inside the image, with the volumes below a directory of this test."""
    text = (DEPLOY / "docker" / "compose.yaml").read_text("utf-8")
    ((service,),) = [
        list(document["services"].values()) for document in read_yaml(DEPLOY / "docker" / "compose.yaml")
    ]
    volumes = [volume.split(":")[1] for volume in service["volumes"]]

    def below(words: str) -> str:
        return re.sub(r"(?<!\S)(" + "|".join(volumes) + r")(?=/|\s|$)", rf"{tmp_path}\1", words)

    for volume in volumes:
        (tmp_path / volume[1:]).mkdir()
    environment = {name: below(value) for name, value in service["environment"].items()}
    (make_key,) = re.findall(r"^# .* run --rm kyrodb (kyrodb .+)$", text, flags=re.MULTILINE)
    program, *arguments = below(make_key).split()
    made = subprocess.run(
        [sys.executable, "-m", f"pykyro.cli.{program}", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert service["command"] == ["kyrodb_server"]
    settings = {name.removeprefix("KYRODB__").lower(): value for name, value in environment.items()}
    settings |= {"server__host": "127.0.0.1", "environment__type": "production"}
    with running_server(tmp_path, **settings) as server:
        metadata = (("x-api-key", made.stdout.strip()),)
        insert_768 = pb.InsertRequest(doc_id=1, embedding=[1.0] * 768)
        assert server.stub.Insert(insert_768, metadata=metadata).success
        wait_until(lambda: any((tmp_path / "backups").glob("backup_*.tar")), "a backup is taken")


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


KUBERNETES = read_yaml(DEPLOY / "kubernetes" / "kyrodb.yaml")
JOBS = [
    pytest.param(document, id=document["metadata"]["name"])
    for document in KUBERNETES
    if document["kind"] == "CronJob"
]


def mounts_of(pod: dict[str, Any], claims: set[str]) -> dict[str, dict[str, Any]]:
    """Mounts of the only container by path; their volumes are there, and the claims of those."""
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    found = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    for mount in found.values():
        assert mount["name"] in volumes.keys() | claims, mount
    for volume in volumes.values():
        if claim := volume.get("persistentVolumeClaim"):
            assert claim["claimName"] in claims
    return found


@pytest.mark.parametrize("job", JOBS)
def test_kubernetes_backs_up(job: dict[str, Any], tmp_path: Path) -> None:
    documents = {document["kind"]: document for document in KUBERNETES}
    claim = f"data-{documents['StatefulSet']['metadata']['name']}-0"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]
    mounts = mounts_of(pod["spec"], {claim, documents["PersistentVolumeClaim"]["metadata"]["name"]})
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert len(job["spec"]["schedule"].split()) == 5
    assert pod["metadata"]["labels"] != documents["Service"]["spec"]["selector"]
    (affinity,) = pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert affinity["labelSelector"]["matchLabels"] == documents["Service"]["spec"]["selector"]
    (container,) = pod["spec"]["containers"]
    assert container["imagePullPolicy"] == "IfNotPresent"
    shell, flag, line = container["args"]
    assert (shell, flag) == ("sh", "-c")
    commands = [command.split() for command in line.split("&&")]
    assert commands[0][1] == "create" or "verify" in commands[0]
    for program, *arguments in commands:
        paths = [argument for argument in arguments if argument.startswith("/")]
        assert all(any(Path(path).is_relative_to(mount) for mount in mounts) for path in paths), paths
        ended = subprocess.run(
            [sys.executable, "-m", f"pykyro.cli.{program}"]
            + [f"{tmp_path}{word}" if word.startswith("/") else word for word in arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        # 2 is wrong usage; there is no database here, so most of them fail.
        assert ended.returncode in (0, 1), ended.stderr
        assert "usage:" not in ended.stderr


def test_kubernetes_probes_and_configuration(tmp_path: Path) -> None:
    documents = {document["kind"]: document for document in KUBERNETES}
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
    mounts = mounts_of(pod, {"data", documents["PersistentVolumeClaim"]["metadata"]["name"]})
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert mounts[str(settings.backup.dir)]["readOnly"]
    for path in (settings.persistence.data_dir, settings.auth.api_keys_file, config.parent / "x"):
        assert path is not None
    assert str(settings.persistence.data_dir).startswith("/data/")
    assert str(settings.auth.api_keys_file).startswith("/run/secrets/kyrodb/")
    assert {"/data", "/etc/kyrodb", "/run/secrets/kyrodb"} <= mounts.keys()


def test_pm2_gives_the_server_time_to_stop() -> None:
    text = (DEPLOY / "pm2" / "ecosystem.config.js").read_text("utf-8")
    timeout = re.search(r"kill_timeout: (\d+)", text)
    assert timeout is not None
    assert int(timeout[1]) > 1000 * SHUTDOWN_S
    assert "instances: 1" in text
    if shutil.which("node"):
        subprocess.run(["node", "--check", str(DEPLOY / "pm2" / "ecosystem.config.js")], check=True)
