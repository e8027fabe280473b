"""FaultFS: a whole disk in memory that loses what a disk may lose and fails as a disk may fail.

The model
---------
*Two contents.* Every file has bytes a reader sees and bytes the platter holds. `write` changes only the first.
`sync` carries them over. Until then each 512-byte sector of each write stands for itself: any subset may have
arrived, in any order; a sector arrives whole or not at all, as some write left it. The size of the file may have
grown at once, not at all, or to anywhere in between. Bytes that never arrived inside the size read as zeros.

*Names.* Creating, renaming, linking and removing a name is visible at once and durable only after
`sync_directory` of the directory it stands in; syncing a file does not make its name durable. Until then each
change may be lost or kept on its own, in any combination. A rename, or an exchange of two names, is one change:
never half of it. A directory
whose own name is lost takes everything below it along.

*Faults*, by the index of the call: an error (EIO, ENOSPC) once or from then on; a write that takes fewer bytes than
given; a rename or link that reports an error though it took place; reads that return an error.

*A failed fsync* is the one the Linux kernel gives (https://lwn.net/Articles/752063/): some of the dirty sectors had
arrived, the others are forgotten and count as clean, so a later fsync of the same file reports success without
them. What a reader sees of the forgotten sectors may be the bytes or the gap. A failed `sync_directory` forgets
changes of names in the same way, but not the names of new directories: those a program cannot make anew where an
operator made them.

*Power cut.* `PowerCut` is raised by the call it was set for and by every later one: the machine is off. It is no
Exception, so nothing but the test catches it. `crash(loss)` then is the disk as the next start finds it; the losses
are in disk.py. *Process death* (`kill_process`) loses nothing: the page cache lives on, un-synced bytes and all.

Everything follows from the calls and the seed; no clock, no address, no hash order enters.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.crash.disk import Directory, File, Loss, Node, RandomLoss, Units, UnreadNote

from pykyro.model.types import BytesLike
from pykyro.storage.files.filesystem import Lock, NoteFile, WritableFile

CHANGES = frozenset(
    ("create", "write", "sync", "replace", "exchange", "link", "remove", "remove_directory", "make_directory")
) | {"sync_directory"}
"""Calls that change the disk. A crash before any other call is a crash before the next of these."""
SPACE = frozenset(("create", "write", "link", "make_directory"))
"""Calls that fail on a full disk."""


class PowerCut(BaseException):
    """The machine lost power during this call."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the `at`-th call (from 0): `kind` is error, late-error (it took place all the same), short or
    cut. `lasting` repeats an error for every later call. Errors strike only calls whose name is in `calls`."""

    at: int
    kind: str
    errno: int = errno.EIO
    lasting: bool = False
    calls: frozenset[str] = CHANGES

    def strikes(self, index: int, name: str) -> bool:
        if self.kind == "cut" and not self.lasting:
            return index == self.at
        return name in self.calls and (index >= self.at if self.lasting else index == self.at)

    def __str__(self) -> str:
        code = f" {errno.errorcode[self.errno]}" if self.kind.endswith("error") else ""
        return f"{self.kind}{code} at call {self.at}{' and after' if self.lasting else ''}"


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    path: Path

    def __str__(self) -> str:
        return f"{self.name} {self.path.name}"


class FaultFS:
    """Implements pykyro.storage.files.filesystem.FileSystem. Thread-safe: one lock around each call."""

    def __init__(self, root: Directory | None = None, *, seed: int = 0) -> None:
        self.root = root or Directory()
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.struck = 0
        """Faults that have struck so far."""
        self.errors: list[int] = []
        """Calls that failed on purpose, removals aside: one that fails leaves nothing in doubt."""
        self.before_change: Callable[[int, Call], None] | None = None
        """Called before each call that changes the disk, with its index: a place to look at the disk from."""
        self.total_bytes = 1 << 40
        self._units = Units()
        self._seed = seed
        self._random = random.Random(seed)
        self._locks: set[Path] = set()
        self._off = False
        self._mutex = threading.RLock()

    # --- what a test does ---

    def crash(self, loss: Loss) -> FaultFS:
        """The disk as the machine finds it when power is back. This one stays as it is."""
        with self._mutex:
            return FaultFS(self.root.after(loss, {}), seed=self._seed + 1)

    def kill_process(self) -> None:
        """The process that used the disk is dead: its locks are free, the page cache lives on."""
        self._locks.clear()

    def power_on(self) -> None:
        """Take a cut for the death of a process alone: nothing was lost."""
        self._off = False
        self.faults.clear()

    @property
    def pending_units(self) -> list[int]:
        """The units a power cut could lose at this moment, oldest first."""
        with self._mutex:
            return sorted(set(self.root.units()))

    def heal(self) -> None:
        self.faults.clear()

    def flip(self, path: Path, bit: int) -> None:
        """Turn one bit of a file, seen and durable, as a failing disk does."""
        file = self._file(path)
        content = bytearray(file.visible)
        content[bit >> 3] ^= 1 << (bit & 7)
        file.visible = file.durable = bytes(content)

    # --- FileSystem ---

    def create(self, path: Path) -> WritableFile:
        with self._call("create", path):
            parent = self._directory(path.parent)
            if path.name in parent.visible:
                raise FileExistsError(errno.EEXIST, "File exists", str(path))
            file = File(bytearray(), b"")
            parent.change({path.name: file}, self._units)
            return _FaultFile(self, path, file)

    def open_note(self, path: Path) -> NoteFile:
        return UnreadNote()

    def read(self, path: Path, *, limit: int | None = None) -> bytes:
        with self._call("read", path):
            return bytes(self._file(path).visible[:limit])

    def map(self, path: Path) -> memoryview:
        with self._call("map", path):
            return memoryview(bytes(self._file(path).visible))

    def release_pages(self, mapping: memoryview) -> None:
        pass

    def native_path(self, path: Path) -> str | None:
        return None

    def replace(self, source: Path, target: Path) -> None:
        with self._call("replace", target) as late:
            assert source.parent == target.parent, "renames across directories are not in the model"
            parent = self._directory(source.parent)
            node = self._node(source)
            parent.change({source.name: None, target.name: node}, self._units)
            late()

    def exchange(self, one: Path, other: Path) -> None:
        with self._call("exchange", other) as late:
            assert one.parent == other.parent, "exchanges across directories are not in the model"
            names: dict[str, Node | None] = {one.name: self._node(other), other.name: self._node(one)}
            self._directory(one.parent).change(names, self._units)
            late()

    def link(self, source: Path, target: Path) -> None:
        with self._call("link", target) as late:
            file, parent = self._file(source), self._directory(target.parent)
            if target.name in parent.visible:
                raise FileExistsError(errno.EEXIST, "File exists", str(target))
            parent.change({target.name: file}, self._units)
            late()

    def remove(self, path: Path) -> None:
        with self._call("remove", path) as late:
            self._file(path)
            self._directory(path.parent).change({path.name: None}, self._units)
            late()

    def remove_directory(self, path: Path) -> None:
        with self._call("remove_directory", path) as late:
            if self._directory(path).visible:
                raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path))
            self._directory(path.parent).change({path.name: None}, self._units)
            late()

    def make_directory(self, path: Path) -> None:
        with self._call("make_directory", path) as late:
            parent = self._directory(path.parent)
            if path.name in parent.visible:
                if isinstance(parent.visible[path.name], File):
                    raise FileExistsError(errno.EEXIST, "File exists", str(path))
                return
            parent.change({path.name: Directory()}, self._units)
            late()

    def sync_directory(self, path: Path) -> None:
        directory = self._directory(path)
        with self._call("sync_directory", path, failing=lambda: directory.lose(self._some())):
            directory.sync()

    def names(self, path: Path) -> list[str]:
        with self._call("names", path):
            return sorted(self._directory(path).visible)

    def size(self, path: Path) -> int:
        with self._call("size", path):
            return len(self._file(path).visible)

    def exists(self, path: Path) -> bool:
        with self._mutex:
            try:
                self._node(path)
            except OSError:
                return False
            return True

    def identity(self, path: Path) -> tuple[int, int]:
        with self._mutex:
            return 0, id(self._node(path))

    def identity_and_size(self, path: Path) -> tuple[tuple[int, int], int]:
        with self._mutex:
            file = self._file(path)
            return (0, id(file)), len(file.visible)

    def free_bytes(self, path: Path) -> tuple[int, int]:
        return self.total_bytes // 2, self.total_bytes

    def lock(self, path: Path) -> Lock:
        with self._mutex:
            self._directory(path.parent)
            if path in self._locks:
                raise BlockingIOError(errno.EWOULDBLOCK, "held by another process", str(os.getpid()))
            self._locks.add(path)
            return _FaultLock(self._locks, path)

    # --- inside ---

    def _call(self, name: str, path: Path, failing: Callable[[], None] = lambda: None) -> _Running:
        return _Running(self, Call(name, path), failing)

    def _some(self) -> Loss:
        return RandomLoss(self._random.getrandbits(32))

    def _node(self, path: Path) -> Node:
        node: Node = self.root
        for part in path.parts[1:]:
            if not isinstance(node, Directory) or part not in node.visible:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
            node = node.visible[part]
        return node

    def _file(self, path: Path) -> File:
        node = self._node(path)
        if not isinstance(node, File):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        return node

    def _directory(self, path: Path) -> Directory:
        node = self._node(path)
        if not isinstance(node, Directory):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path))
        return node


class _Running:
    """One call: counted, then failed if a fault strikes it. Entering gives `late`, to be called at its end."""

    def __init__(self, filesystem: FaultFS, call: Call, failing: Callable[[], None]) -> None:
        self._filesystem = filesystem
        self._call = call
        self._failing = failing
        self.short = False
        self._late: OSError | None = None

    def __enter__(self) -> Callable[[], None]:
        disk = self._filesystem
        disk._mutex.acquire()
        try:
            self._begin()
        except BaseException:
            disk._mutex.release()
            raise
        return self._finish

    def __exit__(self, *_: object) -> None:
        self._filesystem._mutex.release()

    def _begin(self) -> None:
        disk, call = self._filesystem, self._call
        if disk._off:
            raise PowerCut
        index = len(disk.calls)
        disk.calls.append(call)
        if disk.before_change is not None and call.name in CHANGES:
            disk.before_change(index, call)
        for fault in disk.faults:
            if fault.strikes(index, call.name):
                disk.struck += 1
                if fault.kind.endswith("error") and call.name not in ("remove", "remove_directory"):
                    disk.errors.append(index)
                self._strike(fault)
                return

    def _strike(self, fault: Fault) -> None:
        error = OSError(fault.errno, os.strerror(fault.errno), str(self._call.path))
        match fault.kind:
            case "cut":
                self._filesystem._off = True
                raise PowerCut
            case "short":
                self.short = True
            case "late-error" if self._call.name in (
                "replace",
                "exchange",
                "link",
                "remove",
                "make_directory",
            ):
                self._late = error
            case _:
                self._failing()
                raise error

    def _finish(self) -> None:
        if self._late is not None:
            raise self._late


class _FaultFile:
    def __init__(self, filesystem: FaultFS, path: Path, file: File) -> None:
        self._filesystem = filesystem
        self._path = path
        self._file = file
        self._closed = False

    def write(self, data: BytesLike) -> int:
        self._require_open()
        taken = bytes(data)
        call = self._filesystem._call("write", self._path)
        with call:
            if call.short and len(taken) > 1:
                taken = taken[: self._filesystem._random.randint(1, len(taken) - 1)]
            self._file.append(taken, self._filesystem._units)
            return len(taken)

    def sync(self, *, data_only: bool = True) -> None:
        self._require_open()
        disk = self._filesystem

        def fail() -> None:
            self._file.lose(disk._some(), evict=disk._random.random() < 0.5)

        with disk._call("sync", self._path, failing=fail):
            self._file.sync()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._file.visible = bytes(self._file.visible)

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError("the file is closed")


class _FaultLock:
    def __init__(self, locks: set[Path], path: Path) -> None:
        self._locks = locks
        self._path = path

    def release(self) -> None:
        self._locks.discard(self._path)


def lasting(fault: Fault) -> Fault:
    """The same fault, for every later call too; a full disk refuses only what needs space."""
    calls = SPACE if fault.errno == errno.ENOSPC else CHANGES
    return replace(fault, lasting=True, calls=calls)
