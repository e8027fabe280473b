"""Leader, followers and store fail, die and are promoted at every step, in histories drawn at random.

Whatever happens:

    nothing that was said to be shipped is lost, nothing is doubled or comes back, and no two directories lead at once

The long form: KYRODB_ARCHIVE_HISTORIES=1000 python -m pytest tests/replication/test_crash_matrix.py
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.replication.faulty_store import FaultyStore, Killed

import pykyro
from pykyro.embedded.collections import Database
from pykyro.memory.budget import MemoryBudget
from pykyro.replication.mirror import Mirror, Promoted
from pykyro.replication.objects import DirectoryStore
from pykyro.replication.promotion import promote, take_lead
from pykyro.replication.records import COMMITS, read_commit
from pykyro.replication.role import new_role, read_role, write_role
from pykyro.replication.shipping import LostLead, Shipping
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock

HISTORIES = int(os.environ.get("KYRODB_ARCHIVE_HISTORIES", "6"))
STEPS = 30
KINDS = ("error", "error-after", "kill", "kill-after")
DISK, CLOCK = LocalFileSystem(), SystemClock()

Documents = dict[object, object]


class Leader:
    """A directory that leads, or believes to. `content` is what it held at each position it was at."""

    def __init__(
        self, path: Path, store: FaultyStore, content: dict[int, Documents] | None = None, shipped: int = 0
    ) -> None:
        self.path = path
        self.store = store
        self.content = dict(content or {})
        self.documents = dict(self.content[shipped]) if shipped else {}
        self.shipping: Shipping | None = None
        self.shipped = shipped
        """The position that was said to be shipped."""
        self.db = self._opened()
        self.note()

    def _opened(self) -> Database:
        return pykyro.open(
            self.path, dimension=4, background=False, hot_rows_max=10_000, wal_retention_bytes=0
        )

    def position(self) -> int:
        assert self.db._engine is not None
        return self.db._engine.stats().position

    def note(self) -> None:
        self.content[self.position()] = dict(self.documents)

    def write(self, chance: random.Random) -> None:
        for at in range(chance.randint(1, 6)):
            doc_id, number = chance.randint(1, 20), chance.random()
            if not at or chance.random() < 0.7:
                self.db.insert(doc_id, [chance.random() for _ in range(4)], {"n": number})
                self.documents[doc_id] = number
            elif self.db.delete(doc_id):
                del self.documents[doc_id]
            self.note()

    def seal(self) -> None:
        self.db.flush()
        self.note()
        assert self.db._engine is not None
        while self.db._engine.maintain():
            self.note()

    def reopen(self) -> None:
        self.db.close()
        self.note_after_close()
        self.db = self._opened()
        self.note()

    def note_after_close(self) -> None:
        # The seal of the log has a position of its own.
        self.content[max(self.content) + 1] = dict(self.documents)

    def ship(self) -> None:
        """Raises LostLead, OSError, Killed."""
        if self.shipping is None:
            role = read_role(DISK, self.path)
            if role is None:
                role = new_role(self.store.location, follows=False)
                write_role(DISK, self.path, role)
            charge = MemoryBudget(1 << 40, measure=None).account("archive").charge()
            shipping = Shipping(DISK, self.path, self.store, role, CLOCK, charge)
            shipping.begin()
            self.shipping = shipping
        self.shipping.ship()
        self.shipped = self.shipping.positions().get(0, 0)


class Follower:
    def __init__(self, path: Path, store: FaultyStore) -> None:
        self.path = path
        self.store = store
        self.mirror: Mirror | None = None
        self.promoted: Promoted | None = None
        self.epoch = 1
        path.mkdir()
        write_role(DISK, path, new_role(store.location, follows=True))

    def step(self) -> None:
        """Raises OSError, Killed."""
        if self.mirror is None:
            role = read_role(DISK, self.path)
            assert role is not None
            mirror = Mirror(DISK, self.path, self.store, role)
            try:
                mirror.begin()
            except BaseException:
                mirror.close()
                raise
            self.mirror = mirror
        try:
            while self.mirror.catch_up():
                pass
        except Promoted as told:
            self.promoted = told

    def die(self) -> None:
        if self.mirror is not None:
            self.mirror.close()
            self.mirror = None

    def content(self) -> tuple[int, Documents]:
        with pykyro.open(self.path, read_only=True, background=False) as db:
            assert db._engine is not None
            position = db._engine.stats().position
            return position, {one.id: one.metadata["n"] for one in db.documents()}


class World:
    def __init__(self, base: Path, seed: int) -> None:
        self.chance = random.Random(seed % 100_000)  # one that once found something has a number beyond
        self.base = base
        self.store = FaultyStore(DirectoryStore(DISK, base / "archive", str(base / "archive")))
        self.leaders = [Leader(base / "leader", self.store)]
        self.leaders[0].ship()
        self.truth = {1: self.leaders[0].content}
        """What was there at each position, by epoch."""
        self.followers: list[Follower] = []
        self.made = 0

    @property
    def leader(self) -> Leader:
        return self.leaders[-1]

    def with_fault(self, work: Callable[[], None], dies: Callable[[], None]) -> None:
        if self.chance.random() < 0.6:
            self.store.plan(self.chance.randint(0, 8), self.chance.choice(KINDS))
        try:
            work()
        except Killed:
            dies()
        except OSError:
            pass
        finally:
            self.store.heal()

    def ship(self, leader: Leader) -> None:
        def dies() -> None:
            leader.shipping = None

        self.with_fault(leader.ship, dies)

    def follow(self, follower: Follower) -> None:
        self.with_fault(follower.step, follower.die)
        self.check(follower)

    def check(self, follower: Follower) -> None:
        """What it shows was there at that position, in an epoch that it has come to."""
        if not (follower.path / "MANIFEST").exists():
            return
        if follower.mirror is not None:
            follower.epoch = follower.mirror.epoch
        position, documents = follower.content()
        lines = [line for epoch, line in self.truth.items() if epoch >= follower.epoch]
        if follower.mirror is not None:
            lines = [self.truth[follower.epoch]]
        assert documents in [line[position] for line in lines if position in line], (position, documents)

    def new_follower(self) -> None:
        self.made += 1
        self.followers.append(Follower(self.base / f"follower{self.made}", self.store))

    def promote(self) -> None:
        """Perhaps two at once; then one of them loses."""
        said, old = self.leader.shipped, self.leader
        chosen = self.chance.sample(self.followers, min(len(self.followers), self.chance.randint(1, 2)))
        won: list[Follower] = []
        for follower in chosen:
            if won and self.chance.random() < 0.5:
                continue

            def work(follower: Follower = follower) -> None:
                try:
                    commit = promote(DISK, follower.path, self.store, CLOCK)
                except LostLead:
                    return
                assert commit.promotes
                won.append(follower)

            self.with_fault(work, lambda: None)
        for follower in chosen:
            # Who died in a promote that took effect leads as well, unless another was promoted over it.
            self.store.heal()
            follower.step()
        leading = [follower for follower in self.followers if follower.promoted is not None]
        if not leading:
            return
        newest = max(leading, key=lambda one: one.promoted.commit.epoch)  # type: ignore[union-attr]
        assert newest.promoted is not None
        newest.die()
        position, documents = newest.content()
        assert position >= said, "what was said to be shipped is lost"
        assert documents == old.content[position]
        before = {at: content for at, content in old.content.items() if at <= position}
        for epoch in range(max(self.truth) + 1, newest.promoted.commit.epoch):
            self.truth[epoch] = before  # of one that was promoted and never led
        take_lead(DISK, newest.path, newest.promoted.commit)
        for follower in leading:
            follower.die()
            self.followers.remove(follower)
        self.leaders.append(Leader(newest.path, self.store, before, position))
        self.truth[newest.promoted.commit.epoch] = self.leader.content

    def wake_old_leader(self) -> None:
        """However late: it can write nothing into the history of the new."""
        old = self.chance.choice(self.leaders[:-1])
        if len(self.store.names(COMMITS)) <= self.number_at_last_promote():
            return
        before = self.store.names(COMMITS)
        old.write(self.chance)
        try:
            old.ship()
        except (LostLead, pykyro.FailedPrecondition):
            pass
        else:
            raise AssertionError("an old leader shipped")
        assert self.store.names(COMMITS) == before

    def number_at_last_promote(self) -> int:
        numbers = [int(name[-20:]) for name in self.store.names(COMMITS)]
        promotes = [n for n in numbers if (commit := read_commit(self.store, n)) and commit.promotes]
        return max(promotes, default=0) - 1

    def check_commits(self) -> None:
        """One leader an epoch, in order, without a gap."""
        names = self.store.names(COMMITS)
        commits = [read_commit(self.store, number) for number in range(1, len(names) + 1)]
        leaders: dict[int, str] = {}
        for before, commit in zip([None, *commits], commits, strict=False):
            assert commit is not None
            assert leaders.setdefault(commit.epoch, commit.leader) == commit.leader
            assert before is None or commit.epoch - before.epoch == int(commit.promotes)


@pytest.mark.parametrize("seed", [*range(HISTORIES), 100_223])
def test_nothing_shipped_is_lost_doubled_or_written_by_two(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    chance = world.chance
    world.new_follower()
    for _ in range(STEPS):
        deed = chance.random()
        if deed < 0.3:
            world.leader.write(chance)
        elif deed < 0.38:
            world.leader.seal()
        elif deed < 0.43:
            world.leader.reopen()
        elif deed < 0.65:
            world.ship(world.leader)
        elif deed < 0.85 and world.followers:
            world.follow(chance.choice(world.followers))
        elif deed < 0.9 and len(world.followers) < 3:
            world.new_follower()
        elif deed < 0.95 and world.followers:
            world.promote()
        elif len(world.leaders) > 1:
            world.wake_old_leader()
    world.leader.write(chance)
    world.leader.ship()
    world.check_commits()
    world.new_follower()
    for follower in world.followers:
        follower.step()
        position, documents = follower.content()
        assert documents == world.leader.documents
        assert position == world.leader.position()
        follower.die()
    for leader in world.leaders:
        leader.db.close()
