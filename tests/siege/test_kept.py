"""Scripts that once found something find nothing now."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.longer import TIMES
from tests.siege.campaign import KEPT, confirmed, play
from tests.siege.script import read_script

LONG = {"many_keys_in_the_hot_tier"}
"""Those that take minutes: for KYRODB_LONGER=2 and more."""
PATHS = sorted(path for path in KEPT.glob("*.json") if TIMES > 1 or path.stem not in LONG)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_script_that_was_kept(path: Path) -> None:
    script = read_script(path)
    course = play(script)
    assert not confirmed(script, course), f"{course}\nonce it found {script.found}\n{script}"
