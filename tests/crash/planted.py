"""Mistakes planted on purpose, one at a time: the measure of the rigs themselves.

A defect is an edit of one function's source, so it reads as the mistake a programmer would make; the edit must apply,
or the list is out of date. `python -m tests.crash.planted [word of a name ...]` says which check catches which.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import random
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

import pytest
from tests.crash import rigs
from tests.crash.defect import Defect, Edit
from tests.crash.defects import DEFECTS
from tests.crash.log_rig import log_crash_points
from tests.crash.start_rig import killed_and_cut


@contextmanager
def planted(defect: Defect) -> Iterator[None]:
    """The program with this mistake in it, wherever the function was imported to."""
    functions = [_function(edit.where) for edit in defect.edits]
    originals = [function.__code__ for function in functions]
    try:
        for function, edit in zip(functions, defect.edits, strict=True):
            function.__code__ = _edited(function, edit)
        yield
    finally:
        for function, code in zip(functions, originals, strict=True):
            function.__code__ = code


def caught_by(defect: Defect) -> str:
    """The first check that fails with the defect planted; empty when all pass."""
    with planted(defect):
        for name in (*defect.suspects, *(name for name in CHECKS if name not in defect.suspects)):
            check = CHECKS[name] if name in CHECKS else _unit_test(name)
            try:
                check()
            except (Exception, pytest.fail.Exception):
                return name
    return ""


def _function(where: str) -> FunctionType:
    module_name, _, path = where.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in path.split("."):
        found = found.__dict__[name]
    if isinstance(found, property):
        found = found.fget
    function = inspect.unwrap(found)
    assert isinstance(function, FunctionType)
    return function


def _edited(function: FunctionType, edit: Edit) -> CodeType:
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(edit.old) == 1, f"{edit.where} holds {source.count(edit.old)} times: {edit.old}"
    future = "from __future__ import annotations\n"
    whole = compile(future + source.replace(edit.old, edit.new), edit.where, "exec")
    return next(code for code in whole.co_consts if isinstance(code, CodeType))


# --- checks ---------------------------------------------------------------------------------------


def _points() -> None:
    for seed in range(12):
        rigs.crash_points(seed, steps_count=40, looks=0.15)


def _errors() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        for fault in rigs.FAULTS:
            call = rigs.random_call(seed, rng, steps_count=30)
            rigs.disk_error(seed, fault=fault, call=call, steps_count=30)


def _log_errors() -> None:
    for seed in range(4):
        rigs.every_log_error(seed)


def _killed() -> None:
    for seed in range(8):
        killed_and_cut(seed)


def _log() -> None:
    for seed in range(3):
        log_crash_points(seed, steps_count=8)


def _lives() -> None:
    for seed in range(25):
        rigs.lives(seed)


def _flips() -> None:
    for seed in range(10):
        rigs.bit_flips(seed, flips=100)


CHECKS: dict[str, Callable[[], None]] = {
    "log": _log,
    "points": _points,
    "errors": _errors,
    "log-errors": _log_errors,
    "flips": _flips,
    "killed": _killed,
    "lives": _lives,
}


def _unit_test(name: str) -> Callable[[], None]:
    """A test function without arguments, "tests.package.test_module:function"."""
    module_name, _, function = name.partition(":")
    test: Callable[[], None] = getattr(importlib.import_module(module_name), function)
    return test


def main() -> int:
    logging.disable(logging.CRITICAL)
    missed = 0
    only = sys.argv[1:]
    for defect in DEFECTS:
        if only and not any(word in defect.name for word in only):
            continue
        check = caught_by(defect)
        missed += not check
        print(f"| {defect.name} | {check or 'NOT CAUGHT'} |", flush=True)
    print(f"{missed} not caught")
    return missed


if __name__ == "__main__":
    sys.exit(main())
