"""How the vector library is loaded, as its own OpenMP tells it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LOAD = "import os, pykyro.index.vector.library; print(os.environ.get('OMP_WAIT_POLICY'))"


@pytest.mark.parametrize(("given", "told"), [(None, "PASSIVE"), ("active", "ACTIVE")])
def test_its_threads_sleep_while_they_wait_unless_told_otherwise_and_nobody_else_is_told(
    given: str | None, told: str
) -> None:
    environment = {**os.environ, "OMP_DISPLAY_ENV": "TRUE"}
    environment.pop("OMP_WAIT_POLICY", None)
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == str(given)
    assert f"OMP_WAIT_POLICY = '{told}'" in loaded.stderr
