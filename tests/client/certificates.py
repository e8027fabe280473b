"""Certificates for tests of TLS, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True)
class Certificates:
    """An authority, and what it signed for the server "db.internal" and for a client."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    @property
    def mutual_tls(self) -> dict[str, object]:
        """Settings of a server that shows its certificate and asks for the client's."""
        return {
            "server__tls__enabled": "true",
            "server__tls__cert_path": self.server,
            "server__tls__key_path": self.server_key,
            "server__tls__ca_cert_path": self.ca,
            "server__tls__require_client_cert": "true",
        }

    def server_credentials(self, *, asks_client: bool = False) -> grpc.ServerCredentials:
        pair = (self.server_key.read_bytes(), self.server.read_bytes())
        ca = self.ca.read_bytes() if asks_client else None
        return grpc.ssl_server_credentials([pair], ca, asks_client)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificates(directory: Path) -> Certificates:
    """All of them, new, good for two days."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    _openssl("req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-subj", "/CN=authority")
    for name in ("server", "client"):
        request = directory / f"{name}.csr"
        extensions = directory / f"{name}.ext"
        extensions.write_text("subjectAltName=DNS:db.internal\n")
        _openssl("req", *curve, "-keyout", directory / f"{name}.key", "-out", request, "-subj", f"/CN={name}")
        _openssl(
            "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
            "-extfile", extensions, "-out", directory / f"{name}.pem",
        )  # fmt: skip
    return Certificates(
        ca, *(directory / name for name in ("server.pem", "server.key", "client.pem", "client.key"))
    )
