"""Errors travel: between the processes of a pool, and as copies."""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import grpc
import pytest

import pykyro
from pykyro.model.errors import DataDamaged, KyroError
from pykyro.replication.records import Commit

_SAMPLES: dict[str, object] = {
    "code": grpc.StatusCode.NOT_FOUND,
    "text": "what went wrong",
    "message": "what went wrong",
    "reason": "what went wrong",
    "faults": "a fault",
    "field": "vector",
    "retry_after_s": 2.5,
    "path": Path("/a/file"),
    "offset": 64,
    "hint": "Do this",
    "owner_pid": 7,
    "doing": "Insert",
    "lasting": True,
    "killed": True,
    "cause": DataDamaged("bits", path="/a/file"),
    "commit": Commit(number=3, epoch=2, leader="ab", host="a host", time_us=1, token="cd", positions={}),
    "location": "what went wrong",
    "methods": "GET, HEAD",
    "detail": "what went wrong",
    "status": 400,
    "status_code": 400,
    "retry_after_ms": 5,
    "request_id": "ef",
    "headers": {"allow": "GET"},
}
"""An argument for each name a constructor uses."""


def _error_classes() -> list[type[Exception]]:
    """Every exception the program declares, wherever."""
    found: set[type[Exception]] = set()
    for module in pkgutil.walk_packages(pykyro.__path__, "pykyro."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and issubclass(value, Exception):
                found.add(value)
    ours = [kind for kind in found if kind.__module__.startswith("pykyro.")]
    return sorted(ours, key=lambda kind: (kind.__module__, kind.__name__))


def _made(kind: type[Exception]) -> Iterator[Exception]:
    """The error with all its arguments, and with only those it must have."""
    if not inspect.isfunction(kind.__init__):
        yield kind(_SAMPLES["message"])
        return
    parameters = inspect.signature(kind).parameters.values()
    for chosen in (list(parameters), [p for p in parameters if p.default is p.empty]):
        positional = [_SAMPLES[p.name] for p in chosen if p.kind is not p.KEYWORD_ONLY]
        named = {p.name: _SAMPLES[p.name] for p in chosen if p.kind is p.KEYWORD_ONLY}
        yield kind(*positional, **named)


def _pickled(error: Exception, protocol: int) -> Exception:
    again: Exception = pickle.loads(pickle.dumps(error, protocol))
    return again


_WAYS: list[Callable[[Exception], Exception]] = [
    copy.copy,
    copy.deepcopy,
    *(partial(_pickled, protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
]


def _facts(error: Exception) -> tuple[object, ...]:
    return type(error), str(error), {name: str(value) for name, value in vars(error).items()}


@pytest.mark.parametrize("kind", _error_classes(), ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_after_pickling_and_copying(kind: type[Exception]) -> None:
    for error in _made(kind):
        error.add_note("a note")
        for way in _WAYS:
            again = way(error)
            assert again is not error
            assert _facts(again) == _facts(error)


def test_the_classes_are_found() -> None:
    names = {kind.__name__ for kind in _error_classes()}
    assert {"WriteFailed", "QuotaExceeded", "BuildFailed", "CallError", "DataDirInUse"} <= names


def _fail(kind: type[KyroError]) -> None:
    raise next(error for error in _made(kind))


def test_a_process_pool_passes_every_error_on() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for kind in _error_classes():
            if issubclass(kind, KyroError):
                with pytest.raises(kind, match=r"what went wrong|a fault"):
                    pool.submit(_fail, kind).result(timeout=120)


def test_a_path_is_printable_in_a_locale_that_has_no_word_for_it() -> None:
    program = (
        "from pykyro.model.errors import printable; import sys; print(ascii(printable('/d\\u2192\\xe9')))"
    )
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert answer.stdout == b"'/d\\u2192\\xe9'\n"
