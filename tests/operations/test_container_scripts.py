"""The scripts of the image: a certificate made at the start, and the health check, against a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from tests.operations.faults import limit_file_size
from tests.operations.observed import DIMENSION, insert, try_insert
from tests.patience import PATIENCE_S, wait_until
from tests.server.running import free_port, running_server, stub

from pykyro.proto import kyrodb_pb2 as pb

DOCKER = Path(__file__).resolve().parents[2] / "deploy" / "docker"


def health_check(**environment: object) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("KYRODB", "API_SECRET"))
    }
    return subprocess.run(
        [sys.executable, str(DOCKER / "healthcheck.py")],
        env=kept | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_health_check_says_what_health_says(tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=DIMENSION) as server:
        insert(server, 1)
        well = health_check(KYRODB__SERVER__HTTP_PORT=server.http_port)
        assert well.returncode == 0, well.stdout
        assert '"healthy"' in well.stdout
        limit_file_size(server.process.pid, 0)
        assert try_insert(server, 2).code == "UNAVAILABLE"
        ill = health_check(KYRODB_HEALTHCHECK_URL=f"http://localhost:{server.http_port}/health")
        assert ill.returncode == 1
        assert "File too large" in ill.stdout
    nobody = health_check(KYRODB__SERVER__HTTP_PORT=free_port())
    assert nobody.returncode == 1
    assert "refused" in nobody.stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_entrypoint_makes_a_certificate_where_none_is(tmp_path: Path) -> None:
    port, http_port, tls = free_port(), free_port(), tmp_path / "tls"
    environment = os.environ | {
        "KYRODB__SERVER__TLS__ENABLED": "true",
        "KYRODB__SERVER__TLS__HTTP": "tls",
        "KYRODB__SERVER__PORT": str(port),
        "KYRODB__SERVER__HTTP_PORT": str(http_port),
        "KYRODB_GENERATED_TLS_DIR": str(tls),
        "KYRODB_TLS_COMMON_NAME": "db.example",
        "KYRODB_DATA_DIR": str(tmp_path / "data"),
    }
    command = ["sh", str(DOCKER / "entrypoint.sh"), sys.executable, "-m", "pykyro.cli.kyrodb_server"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        url = f"https://127.0.0.1:{http_port}/health"
        wait_until(
            lambda: process.poll() is not None or health_check(KYRODB_HEALTHCHECK_URL=url).returncode == 0,
            "the server is healthy",
        )
        assert process.poll() is None
        credentials = grpc.ssl_channel_credentials((tls / "server.crt").read_bytes())
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            assert stub(channel).Health(pb.HealthRequest()).status == pb.HealthResponse.HEALTHY
        assert (tls / "server.key").stat().st_mode & 0o077 == 0
    finally:
        process.terminate()
        _, told = process.communicate(timeout=PATIENCE_S)
    assert b"self-signed certificate for db.example" in told


def test_the_entrypoint_only_runs_the_command_without_tls(tmp_path: Path) -> None:
    script = str(DOCKER / "entrypoint.sh")
    for environment in ({}, {"KYRODB__SERVER__TLS__ENABLED": "1", "KYRODB_AUTO_GENERATE_TLS": "off"}):
        ended = subprocess.run(
            ["sh", script, "sh", "-c", 'echo "[$1] ${KYRODB__SERVER__TLS__CERT_PATH:-none}"', "x", "a b"],
            env={"PATH": os.environ["PATH"], "KYRODB_GENERATED_TLS_DIR": str(tmp_path / "tls")} | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stdout == "[a b] none\n"
    assert not (tmp_path / "tls").exists()
