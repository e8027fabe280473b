"""A program moves from embedded to a server, and to awaiting it, by changing the line that opens the database."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import pykyro

METHODS = sorted(name for name in vars(pykyro.Database) if not name.startswith("_"))
clients = pytest.mark.parametrize("client", [pykyro.Client, pykyro.AsyncClient])


@clients
def test_the_methods_are_the_same(client: type[Any]) -> None:
    assert sorted(name for name in vars(client) if not name.startswith("_")) == METHODS
    assert {"insert", "insert_many", "search", "search_many", "get", "delete_many"} < set(METHODS)


@clients
@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_called_the_same(client: type[Any], name: str) -> None:
    embedded = inspect.signature(getattr(pykyro.Database, name))
    remote = inspect.signature(getattr(client, name))
    # A client takes filter messages too; otherwise even the hints agree.
    hints = [
        {key: parameter.annotation for key, parameter in signature.parameters.items() if key != "filter"}
        for signature in (embedded, remote)
    ]
    assert hints[0] == hints[1]
    assert embedded.return_annotation == remote.return_annotation.replace("AsyncIterator", "Iterator")
    shapes = [
        [(parameter.name, parameter.kind, parameter.default) for parameter in signature.parameters.values()]
        for signature in (embedded, remote)
    ]
    assert shapes[0] == shapes[1]
    method = getattr(client, name)
    awaited = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
    assert awaited == (client is pykyro.AsyncClient)
    assert getattr(client, name).__doc__
