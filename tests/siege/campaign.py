"""Every play once, then sieges with ever new seeds, and the smallest script of what they find.

python -m tests.siege.campaign --seconds 600 --seed 0
python -m tests.siege.campaign --script tests/siege/kept/one.json       one script again
python -m tests.siege.campaign --play "570 MB of text"                  one play of tests/siege/generate.py
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.patience import PATIENCE_S
from tests.siege import hostile, lawful
from tests.siege.finding import Finding
from tests.siege.generate import PLAYS, script_of
from tests.siege.judge import check_alive, check_memory, judge, write_fault
from tests.siege.script import Script, Step, read_script
from tests.siege.session import Siege
from tests.siege.shrink import shrink

KEPT: Final = Path(__file__).parent / "kept"
DOERS: Final = {
    name: doer
    for module in (lawful, hostile)
    for name, doer in vars(module).items()
    if getattr(doer, "__module__", "") == module.__name__ and not name.startswith("_")
}


@dataclass(frozen=True, slots=True)
class Course:
    """How a siege went: the finding if any, after how many steps, the most memory and the longest stop there was."""

    finding: Finding | None
    steps: int
    peak_share: float
    longest_stop_s: float
    statuses: dict[str, int]

    def __str__(self) -> str:
        ended = ", ".join(f"{name} {count}" for name, count in sorted(self.statuses.items()))
        most = f"peak {self.peak_share:.2f} of the limit, longest stop {self.longest_stop_s:.1f} s"
        return f"{self.steps} steps, {most}; {ended}; {self.finding or 'no finding'}"


def play(script: Script, has_time: Callable[[], bool] = lambda: True, tell: bool = False) -> Course:
    """Do the steps one after another, each judged, while there is time; then everything is looked at."""
    rng, done = random.Random(0), 0
    with (
        tempfile.TemporaryDirectory(prefix="siege-", ignore_cleanup_errors=True) as directory,
        contextlib.ExitStack() as stack,
    ):
        siege: Siege | None = None
        try:
            # grpcio expands references before it looks at their bound, which docs/operations.md says.
            refers = any(one.do == "references" for one in script.steps)
            siege = Siege(Path(directory), script.limit_mib, transport="h2corn" if refers else "auto")
            stack.callback(siege.end)
            for one in script.steps:
                if not has_time():
                    break
                done += 1
                began = time.monotonic()
                do(siege, one, rng)
                if tell:
                    print(f"  {one}: {time.monotonic() - began:.1f} s", flush=True)
            _finish(siege)
        except Finding as finding:
            return _course(finding, done, siege)
        return _course(None, done, siege)


def _course(finding: Finding | None, steps: int, siege: Siege | None) -> Course:
    if siege is None:
        return Course(finding, steps, 0.0, 0.0, {})
    return Course(finding, steps, siege.peak_share, siege.longest_stop_s, siege.statuses)


def do(siege: Siege, one: Step, rng: random.Random) -> None:
    """One step, and what must hold after it and after those that were done beside it."""
    doer: Any = DOERS[one.do]
    if one.beside:
        siege.begin(lambda: doer(siege, **one.arguments))
        return
    try:
        doer(siege, **one.arguments)
        siege.join()
        judge(siege, rng)
    except Finding:
        check_alive(siege)  # a server that died explains whatever was found
        raise


def _finish(siege: Siege) -> None:
    """Once nobody does harm any more writes are taken again, everything is there, and a stop keeps to its time."""
    siege.join()
    siege.let_go()
    end = time.monotonic() + PATIENCE_S
    while fault := write_fault(siege):
        check_alive(siege)
        if time.monotonic() > end:
            raise Finding("stuck", f"writes are refused for {PATIENCE_S:.0f} s after the siege: {fault}")
        time.sleep(0.5)
    lawful.check_documents(siege)
    check_memory(siege)
    siege.restart(kill=False)
    lawful.check_documents(siege)


def smallest(script: Script, finding: Finding, *, seconds: float) -> tuple[Script, Finding]:
    """The smallest script that was found in this time to find something, and what. It need not be the same thing:
    which promise breaks first depends on when one looks."""
    end, last = time.monotonic() + seconds, finding

    def fails(candidate: Script) -> bool:
        nonlocal last
        found = play(candidate).finding
        print(f"  {len(candidate.steps)} steps: {found.kind if found else 'no finding'}", flush=True)
        last = found or last
        return found is not None

    return shrink(script, fails, lambda: time.monotonic() < end), last


def confirmed(script: Script, course: Course) -> bool:
    """Whether a finding is one: what is measured in time may be the machine's fault, unless it comes again."""
    if course.finding is None or course.finding.kind != "probe":
        return course.finding is not None
    return play(script).finding is not None


def keep(script: Script, finding: Finding, name: str) -> Path:
    """Write it where tests/siege/test_kept.py finds it."""
    path = KEPT / f"{re.sub(r'[^a-z0-9]+', '_', f'{finding.kind} {name}'.lower())}.json"
    path.write_text(replace(script, found=str(finding).splitlines()[0]).to_json())
    return path


def besiege(name: str, script: Script, *, shrink_s: float) -> bool:
    """Play one script, and say how it went; whether nothing was found."""
    course = play(script, tell=True)
    print(f"{name}: {course}", flush=True)
    if course.finding is None or not confirmed(script, course):
        return True
    failed, finding = script.with_steps(script.steps[: max(1, course.steps)]), course.finding
    if shrink_s:
        failed, finding = smallest(failed, finding, seconds=shrink_s)
    print(f"{failed}\nkept in {keep(failed, finding, name)}", flush=True)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.siege.campaign", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shrink-seconds", type=float, default=600, help="0: keep the script as it is")
    parser.add_argument("--go-on", action="store_true", help="to the end of the time, whatever is found")
    parser.add_argument(
        "--without", nargs="+", default=[], metavar="STEP", help="leave out, while it is mended"
    )
    parser.add_argument("--seeds-only", action="store_true", help="do not begin with the plays")
    parser.add_argument("--script", type=Path)
    parser.add_argument("--play", choices=sorted(PLAYS))
    arguments = parser.parse_args()
    if arguments.script is not None or arguments.play is not None:
        script = read_script(arguments.script) if arguments.script else Script(PLAYS[arguments.play])
        course = play(script, tell=True)
        print(course)
        return int(course.finding is not None)
    end, seed, found = time.monotonic() + arguments.seconds, arguments.seed, 0
    for name in [] if arguments.seeds_only else PLAYS:
        if time.monotonic() < end and (arguments.go_on or not found):
            found += not besiege(name, Script(PLAYS[name]), shrink_s=arguments.shrink_seconds)
    while time.monotonic() < end and (arguments.go_on or not found):
        script = script_of(seed)
        script = script.with_steps(tuple(one for one in script.steps if one.do not in arguments.without))
        found += not besiege(f"seed {seed}", script, shrink_s=arguments.shrink_seconds)
        seed += 1
    print(f"{seed - arguments.seed} sieges from seed {arguments.seed}: {found or 'no'} findings")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
