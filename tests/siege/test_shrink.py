"""A script that fails becomes small, and stays one that fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.siege.campaign import DOERS, KEPT
from tests.siege.generate import PLAYS, script_of
from tests.siege.script import Script, from_json, read_script, step
from tests.siege.shrink import shrink


def total(script: Script, do: str) -> int:
    return sum(int(one.given["count"]) for one in script.steps if one.do == do)


def test_only_the_steps_and_the_numbers_that_matter_are_left() -> None:
    noise = [step("flush"), step("delete", tenant="acme", first=7, count=90, at_once=9)]
    steps = (*noise, step("insert", count=400, keys=7), *noise, step("search", count=1000, k=3), *noise)

    def fails(script: Script) -> bool:
        """More than a hundred inserts, and a search after them."""
        names = [one.do for one in script.steps]
        return (
            total(script, "insert") > 100
            and "search" in names
            and names.index("search") > names.index("insert")
        )

    small = shrink(Script(steps), fails, lambda: True)
    assert small.steps == (step("insert", count=200, keys=1), step("search", count=1, k=1))


def test_without_time_the_script_stays_as_it_is() -> None:
    script = script_of(3)
    assert shrink(script, lambda _: True, lambda: False) == script


def test_a_script_is_the_same_after_it_was_written_and_the_same_for_a_seed() -> None:
    for seed in range(50):
        script = script_of(seed)
        assert script == script_of(seed) == from_json(script.to_json())
    assert len({str(script_of(seed)) for seed in range(50)}) == 50


def test_every_step_can_be_done() -> None:
    scripts = [script_of(seed) for seed in range(200)] + [Script(steps) for steps in PLAYS.values()]
    scripts += [read_script(path) for path in KEPT.glob("*.json")]
    used = {one.do for script in scripts for one in script.steps}
    assert used <= set(DOERS)
    # Nothing that the generator should make is left out.
    assert set(DOERS) - used == {"request_of", "filter_of", "check_documents"}


def test_what_is_no_script_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"steps": []}')
    with pytest.raises(KeyError, match="limit_mib"):
        read_script(path)
