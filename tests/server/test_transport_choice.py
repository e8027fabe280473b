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


@pytest.mark.parametrize(
    ("wanted", "installed", "tls", "chosen"),
    [
        ("auto", True, {}, "grpcio"),
        ("auto", False, {}, "grpcio"),
        ("auto", True, TLS, "grpcio"),
        ("grpcio", True, {}, "grpcio"),
        ("grpcio", False, TLS, "grpcio"),
        ("native", True, {}, "native"),
    ],
)
def test_chosen(
    monkeypatch: pytest.MonkeyPatch, wanted: str, installed: bool, tls: dict[str, Any], chosen: str
) -> None:
    assert choose(monkeypatch, installed, server={"transport": wanted, "tls": tls}) == chosen


@pytest.mark.parametrize(
    ("installed", "tls", "text"),
    [(False, {}, "needs the package pygrpc-native"), (True, TLS, "has no TLS")],
)
def test_native_that_cannot_be_had_is_an_error(
    monkeypatch: pytest.MonkeyPatch, installed: bool, tls: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        choose(monkeypatch, installed, server={"transport": "native", "tls": tls})
