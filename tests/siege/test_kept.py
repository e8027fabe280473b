"""Scripts that once found something find nothing now."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.siege.campaign import KEPT, confirmed, play
from tests.siege.script import read_script


@pytest.mark.timeout(0)
@pytest.mark.parametrize("path", sorted(KEPT.glob("*.json")), ids=lambda path: path.stem)
def test_a_script_that_was_kept(path: Path) -> None:
    script = read_script(path)
    course = play(script)
    assert not confirmed(script, course), f"{course}\nonce it found {script.found}\n{script}"
