"""A program moves from embedded to a server, and to awaiting it, by changing the line that opens the database."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import pykyro

NAMES = sorted(name for name in dir(pykyro.Database) if not name.startswith("_"))
METHODS = [name for name in NAMES if callable(getattr(pykyro.Database, name))]
HANDLES = {pykyro.Client: "RemoteCollection", pykyro.AsyncClient: "AsyncCollection"}
clients = pytest.mark.parametrize("client", list(HANDLES))


@clients
def test_the_methods_are_the_same(client: type[Any]) -> None:
    assert sorted(name for name in dir(client) if not name.startswith("_")) == NAMES
    collections = [pykyro.Collection, getattr(pykyro, HANDLES[client])]
    assert len({tuple(name for name in dir(one) if not name.startswith("_")) for one in collections}) == 1
    assert {"insert", "insert_many", "search", "search_many", "get", "delete_many"} < set(METHODS)


@clients
@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_called_the_same(client: type[Any], name: str) -> None:
    embedded = inspect.signature(getattr(pykyro.Database, name))
    remote = inspect.signature(getattr(client, name))
    # A client takes filter messages too; otherwise even the hints agree.
    hints = [
        {
            key: parameter.annotation
            for key, parameter in signature.parameters.items()
            if key not in ("filter", "if_filter")
        }
        for signature in (embedded, remote)
    ]
    assert hints[0] == hints[1]
    answer = remote.return_annotation.replace("AsyncIterator", "Iterator").replace(
        HANDLES[client], "Collection"
    )
    assert embedded.return_annotation == answer
    shapes = [
        [(parameter.name, parameter.kind, parameter.default) for parameter in signature.parameters.values()]
        for signature in (embedded, remote)
    ]
    assert shapes[0] == shapes[1]
    method = getattr(client, name)
    awaited = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
    assert awaited == (client is pykyro.AsyncClient and name != "collection")
    assert getattr(client, name).__doc__
