"""Which gRPC implementation serves."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from pykyro.config import Settings
from pykyro.model.errors import ConfigError
from pykyro.transport.grpc import transport

TLS = {"enabled": True, "cert_path": "c.pem", "key_path": "k.pem"}


def choose(monkeypatch: pytest.MonkeyPatch, installed: bool, **settings: Any) -> str:
    found = importlib.util.find_spec("json") if installed else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    return transport.choose(Settings.model_validate(settings))


@pytest.mark.parametrize("tls", [{}, TLS])
@pytest.mark.parametrize(
    ("wanted", "installed", "chosen"),
    [
        ("auto", True, "grpcio"),
        ("auto", False, "grpcio"),
        ("h2corn", True, "h2corn"),
        ("native", True, "h2corn"),
        ("grpcio", True, "grpcio"),
        ("grpcio", False, "grpcio"),
    ],
)
def test_chosen(
    monkeypatch: pytest.MonkeyPatch, wanted: str, installed: bool, tls: dict[str, Any], chosen: str
) -> None:
    assert choose(monkeypatch, installed, server={"transport": wanted, "tls": tls}) == chosen


@pytest.mark.parametrize("wanted", ["h2corn", "native"])
def test_one_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    with pytest.raises(ConfigError, match="needs the package h2corn"):
        choose(monkeypatch, False, server={"transport": wanted})
