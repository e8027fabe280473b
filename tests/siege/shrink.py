"""A smaller script that still fails: fewer steps first, by delta debugging, then smaller numbers.

Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input. IEEE Transactions on Software Engineering 28
(2002) 2, 183-200.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from tests.siege.script import Script, Step

Fails: TypeAlias = Callable[[Script], bool]


def shrink(script: Script, fails: Fails, has_time: Callable[[], bool]) -> Script:
    """`script` fails. Tries smaller ones, at most while there is time."""
    script = _fewer_steps(script, fails, has_time)
    smaller: Script | None = script
    while smaller is not None:
        script = smaller
        tried = (candidate for candidate in _smaller_numbers(script) if has_time())
        smaller = next((candidate for candidate in tried if fails(candidate)), None)
    return script


def _fewer_steps(script: Script, fails: Fails, has_time: Callable[[], bool]) -> Script:
    """Leave out parts, the larger ones first; the last step, after which it failed, is left for last."""
    size = len(script.steps) // 2
    while size:
        at = 0
        while at < len(script.steps) and has_time():
            steps = script.steps[:at] + script.steps[at + size :]
            candidate = script.with_steps(steps)
            if steps and fails(candidate):
                script = candidate
            else:
                at += size
        size //= 2
    return script


def _smaller_numbers(script: Script) -> Iterator[Script]:
    """Each number of each step halved, alone."""
    for at, one in enumerate(script.steps):
        for name, value in one.given.items():
            if isinstance(value, int) and value > 1:
                halved = Step(one.do, one.given | {name: value // 2})
                yield script.with_steps((*script.steps[:at], halved, *script.steps[at + 1 :]))
