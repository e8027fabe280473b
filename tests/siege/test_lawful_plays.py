"""Data and writes that are lawful that brought servers down before there was a budget: nothing is found now."""

from __future__ import annotations

import pytest
from tests.siege.campaign import confirmed, play
from tests.siege.generate import LAWFUL
from tests.siege.script import Script


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", LAWFUL)
def test_what_once_brought_a_server_down(name: str) -> None:
    script = Script(LAWFUL[name])
    course = play(script)
    assert not confirmed(script, course), f"{name}: {course}"
