"""The public names: all there, typed, and loaded no sooner than they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pykyro
from pykyro.model import errors


def loaded_after(statement: str) -> set[str]:
    """The modules a new interpreter has loaded after this statement."""
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_costs_nothing() -> None:
    loaded = loaded_after("import pykyro; pykyro.__version__; dir(pykyro)")
    assert not loaded & {"numpy", "grpc", "faiss", "google.protobuf", "pydantic", "pykyro.model.errors"}


def test_a_client_does_not_load_the_engine() -> None:
    loaded = loaded_after("import pykyro; pykyro.Client, pykyro.AsyncClient, pykyro.Tls")
    assert not loaded & {
        "faiss",
        "pyroaring",
        "pykyro.engine.engine",
        "pykyro.storage.wal.log",
        "pykyro.server",
    }


def test_the_embedded_database_does_not_load_grpc() -> None:
    loaded = loaded_after("import pykyro; pykyro.open, pykyro.Database")
    assert not loaded & {"grpc", "google.protobuf", "pykyro.client", "pykyro.config"}


@pytest.mark.parametrize("name", pykyro.__all__)
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(pykyro, name)
    assert value is getattr(pykyro, name)
    assert name in dir(pykyro)
    if isinstance(value, type):
        assert value.__name__ == name
        assert value.__doc__


def test_every_error_is_public() -> None:
    tree = [errors.KyroError]
    for error in tree:
        tree += error.__subclasses__()
    own = {error.__name__ for error in tree if error.__module__ == "pykyro.model.errors"}
    assert own <= set(pykyro.__all__)
    assert pykyro.InvalidArgument is errors.InvalidArgument


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'connect'"):
        pykyro.connect  # noqa: B018
