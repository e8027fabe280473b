"""Data and writes that are lawful that brought servers down before there was a budget: nothing is found now.

Half of the data against half of the budget; `make siege` plays them whole, and all others too. Merges and hostile
requests have tests of their own: tests/server/test_merge_budget.py, tests/server/test_one_budget.py.
"""

from __future__ import annotations

import pytest
from tests.siege.campaign import confirmed, play
from tests.siege.generate import LAWFUL
from tests.siege.script import Script, Step

LIMIT_MIB = 384
LOADS = ("570 MB of text", "a thousand keys each")


def halved(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Without the later half of the streams of documents."""
    streams = [at for at, one in enumerate(steps) if one.do == "bulk_insert"]
    left_out = streams[-(-len(streams) // 2) :]
    return tuple(one for at, one in enumerate(steps) if at not in left_out)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", LOADS)
def test_what_once_brought_a_server_down(name: str) -> None:
    script = Script(halved(LAWFUL[name]), LIMIT_MIB)
    course = play(script)
    assert not confirmed(script, course), f"{name}: {course}"
