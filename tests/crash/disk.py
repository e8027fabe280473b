"""The disk under FaultFS: what programs see, and what would still be there after the power went.

See fault_filesystem.py for the model in prose. A *unit* is the smallest thing a power cut can lose on its own: one
512-byte sector as one write left it, or one change of names. Units are numbered in the order they came about.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

SECTOR = 512


class Loss(Protocol):
    """Which un-synced units a power cut takes."""

    def keeps(self, unit: int) -> bool:
        """Whether this unit had reached the disk. Asked once per unit, in order."""
        ...

    def size(self, durable_size: int, kept_end: int, visible_size: int) -> int:
        """The size of a file with un-synced bytes: at least `durable_size`, at most `visible_size`. `kept_end` is
        the end of the last byte that had arrived."""
        ...


@dataclass(slots=True)
class Write:
    """Un-synced bytes [start, end) of a file; `first_unit` is the unit of its first sector."""

    start: int
    end: int
    first_unit: int

    @property
    def sectors(self) -> range:
        return range(self.start // SECTOR, -(-self.end // SECTOR))


@dataclass(slots=True, eq=False)
class File:
    """A file: `visible` is what a read returns, `durable` what the platter holds, `writes` what lies between."""

    visible: bytes | bytearray
    durable: bytes
    writes: list[Write] = field(default_factory=list)

    def append(self, data: bytes, units: Units) -> None:
        assert isinstance(self.visible, bytearray)
        start = len(self.visible)
        self.visible += data
        if data:
            write = Write(start, len(self.visible), 0)
            write.first_unit = units.take(len(write.sectors))
            self.writes.append(write)

    def sync(self) -> None:
        self.durable = self.after(_KEEP_ALL)
        self.writes.clear()

    def after(self, loss: Loss, *, cut_short: bool = True) -> bytes:
        """The content a power cut with this loss leaves. Without `cut_short` the size covers all that arrived."""
        if not self.writes:
            return self.durable
        kept: dict[int, int] = {}
        kept_end = len(self.durable)
        for write in self.writes:
            for unit, sector in enumerate(write.sectors, write.first_unit):
                if loss.keeps(unit):
                    kept[sector] = write.end
                    kept_end = max(kept_end, min(write.end, (sector + 1) * SECTOR))
        size = loss.size(len(self.durable), kept_end, self.writes[-1].end)
        size = size if cut_short else max(size, kept_end)
        content = bytearray(self.durable.ljust(size, b"\0"))
        for sector, written_to in kept.items():
            start, end = sector * SECTOR, min((sector + 1) * SECTOR, written_to)
            content.extend(bytes(max(0, start - len(content))))
            content[start:end] = self.visible[start:end]
        return bytes(content[:size])

    def lose(self, loss: Loss, *, evict: bool) -> None:
        """A failed fsync: what had not arrived is forgotten and counts as clean. `evict` shows the gap to readers."""
        self.durable = self.after(loss, cut_short=False)
        self.writes.clear()
        if evict:
            keep = bytearray(self.durable.ljust(len(self.visible), b"\0"))
            self.visible = keep if isinstance(self.visible, bytearray) else bytes(keep)


@dataclass(slots=True, eq=False)
class Directory:
    """Names. `pending` holds changes not yet synced; each is one unit and happens wholly or not at all."""

    visible: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[int, dict[str, Node | None]]] = field(default_factory=list)

    def change(self, names: dict[str, Node | None], units: Units) -> None:
        _apply(self.visible, names)
        self.pending.append((units.take(1), names))

    def sync(self) -> None:
        self.lose(_KEEP_ALL)

    def lose(self, loss: Loss) -> None:
        """Settle pending changes: each is on disk, or never will be. New directories may still get there."""
        undecided = []
        for unit, names in self.pending:
            if loss.keeps(unit):
                _apply(self.durable, names)
            elif any(isinstance(node, Directory) for node in names.values()):
                undecided.append((unit, names))
        self.pending = undecided

    def after(self, loss: Loss, copies: dict[File, File]) -> Directory:
        """The directory, and all below it, that a power cut with this loss leaves."""
        names = dict(self.durable)
        for unit, change in self.pending:
            if loss.keeps(unit):
                _apply(names, change)
        survivors: dict[str, Node] = {}
        for name, node in names.items():
            if isinstance(node, Directory):
                survivors[name] = node.after(loss, copies)
                continue
            if node not in copies:
                content = node.after(loss)
                copies[node] = File(content, content)
            survivors[name] = copies[node]
        return Directory(survivors, dict(survivors))

    def units(self) -> Iterator[int]:
        """Every unit a power cut could lose now, of everything that has or may have a name."""
        seen: set[int] = set()
        nodes: list[Node] = [self]
        while nodes:
            node = nodes.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, File):
                for write in node.writes:
                    yield from range(write.first_unit, write.first_unit + len(write.sectors))
            else:
                nodes += [*node.durable.values(), *node.visible.values()]
                for unit, names in node.pending:
                    yield unit
                    nodes += [named for named in names.values() if named is not None]


Node = File | Directory


class Units:
    """Gives out unit numbers."""

    def __init__(self) -> None:
        self.next = 0

    def take(self, units: int) -> int:
        first = self.next
        self.next += units
        return first


def _apply(names: dict[str, Node], change: dict[str, Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


# --- losses ---------------------------------------------------------------------------------------


class AllKept:
    """Everything had arrived."""

    def keeps(self, unit: int) -> bool:
        return True

    def size(self, durable_size: int, kept_end: int, visible_size: int) -> int:
        return visible_size


class AllLost:
    """Nothing un-synced had arrived."""

    def keeps(self, unit: int) -> bool:
        return False

    def size(self, durable_size: int, kept_end: int, visible_size: int) -> int:
        return kept_end


@dataclass(frozen=True, slots=True)
class OneLost:
    """Everything had arrived but one unit; the file's size had grown."""

    unit: int

    def keeps(self, unit: int) -> bool:
        return unit != self.unit

    def size(self, durable_size: int, kept_end: int, visible_size: int) -> int:
        return visible_size


@dataclass(frozen=True, slots=True)
class TornAt:
    """Units before `unit` had arrived, the rest had not. `grown`: file sizes arrived before the bytes."""

    unit: int
    grown: bool

    def keeps(self, unit: int) -> bool:
        return unit < self.unit

    def size(self, durable_size: int, kept_end: int, visible_size: int) -> int:
        return visible_size if self.grown else kept_end


class RandomLoss:
    """Each unit for itself, with one probability for the whole cut; sizes anywhere in between."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._kept = self._random.choice((0.1, 0.5, 0.9))

    def keeps(self, unit: int) -> bool:
        return self._random.random() < self._kept

    def size(self, durable_size: int, kept_end: int, visible_size: int) -> int:
        anywhere = self._random.randint(durable_size, visible_size)
        return self._random.choice((durable_size, kept_end, visible_size, anywhere))


_KEEP_ALL = AllKept()


def loss_named(text: str) -> Loss:
    """The loss a line of a failure report names: all-kept, all-lost, one-lost:7, torn:7, torn-short:7, random:7."""
    kind, _, number = text.partition(":")
    match kind:
        case "all-kept":
            return AllKept()
        case "all-lost":
            return AllLost()
        case "one-lost":
            return OneLost(int(number))
        case "torn":
            return TornAt(int(number), grown=True)
        case "torn-short":
            return TornAt(int(number), grown=False)
        case "random":
            return RandomLoss(int(number))
    raise ValueError(f"no such loss: {text}")


class UnreadNote:
    """A note: it is for readers in other processes, and no start after a crash looks at it."""

    def put(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass
