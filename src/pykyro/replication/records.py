"""What an archive holds, and the grammar of its objects.

    segments/<sha256>                       a file of a segment, named by its content
    log/<epoch>/<first>-<last>-<sha256>     bytes of a log segment as they stand in the file, named by the positions
                                            that end in them and by their content
    manifests/<number>-<sha256>             what a reader needs to start from commit <number>: of each collection its
                                            MANIFEST, its files, and the pieces of its log that are not sealed
    commits/<number>                        created once, one after the other: who led, what was shipped

A commit is what counts: objects that no commit names are what an attempt left over. Numbers begin at 1 and have no
gaps. Commit n+1 is created only by who has read commit n, so of two that lead only one goes on (`LostLead`). A commit
with `state` names what replaces all that is known; one without adds pieces of the log.

Every object is one line of JSON behind "KYROARC1 " and the SHA-256 of the line, pieces and files excepted, whose
names are proof of what they hold.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pykyro.model.errors import DataDamaged
from pykyro.replication.objects import ArchiveStore

MAGIC: Final = b"KYROARC1 "
COMMITS: Final = "commits"
STATES: Final = "manifests"
_HINT: Final = "The archive is damaged there; restore the object, or start a new archive at another URL"

_Count = Annotated[int, Field(ge=0, strict=True)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LogPiece(_Record):
    """Bytes `start` to `end` of the log segment `wal`; `last` is the position of the last frame that ends there."""

    object: str
    sha256: str
    wal: str
    start: _Count
    end: _Count
    last: _Count


class StoredFile(_Record):
    """A file of a segment."""

    sha256: str
    size_bytes: _Count


class CollectionState(_Record):
    """One collection: `manifest` is its MANIFEST as text, `files` what that names beside the log, `log` the pieces of
    its log behind the sealed position."""

    manifest: str
    files: dict[str, StoredFile]
    log: tuple[LogPiece, ...] = ()


class State(_Record):
    """Everything at one commit. `catalogue` is the file COLLECTIONS as text, None without one; collections are named
    by their numbers."""

    collections: dict[int, CollectionState]
    catalogue: str | None = None


class Commit(_Record):
    """One step of the archive. `leader` is the random name of the directory that leads from here on; `positions` says
    up to where each collection is shipped. `token` is drawn anew for each attempt."""

    number: Annotated[int, Field(ge=1, strict=True)]
    epoch: Annotated[int, Field(ge=1, strict=True)]
    leader: str
    host: str
    time_us: _Count
    token: str
    state: str | None = None
    log: dict[int, tuple[LogPiece, ...]] = {}
    positions: dict[int, _Count] = {}
    promotes: bool = False
    """Whether a new epoch begins: nothing is shipped by it."""


Decoded = TypeVar("Decoded", bound=_Record)


def encode(record: _Record) -> bytes:
    body = record.model_dump_json().encode() + b"\n"
    return MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def decode(kind: type[Decoded], data: bytes, place: str) -> Decoded:
    """Raises DataDamaged for anything that was not written whole."""
    head, separator, body = data.partition(b"\n")
    if not head.startswith(MAGIC) or not separator:
        raise DataDamaged("it is no object of an archive", path=place, hint=_HINT)
    if head[len(MAGIC) :] != hashlib.sha256(body).hexdigest().encode():
        raise DataDamaged("its content does not match its digest", path=place, hint=_HINT)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise DataDamaged(f"content: {error.errors()[0]['msg']}", path=place, hint=_HINT) from None


def commit_name(number: int) -> str:
    return f"{COMMITS}/{number:020d}"


def state_name(number: int, data: bytes) -> str:
    return f"{STATES}/{number:020d}-{hashlib.sha256(data).hexdigest()}"


def segment_name(sha256: str) -> str:
    return f"segments/{sha256}"


def piece_name(epoch: int, first: int, last: int, sha256: str) -> str:
    return f"log/{epoch:08d}/{first:020d}-{last:020d}-{sha256}"


def read_commit(store: ArchiveStore, number: int) -> Commit | None:
    """None when there is none yet. Raises DataDamaged, OSError."""
    name = commit_name(number)
    try:
        data = store.read(name)
    except FileNotFoundError:
        return None
    commit = decode(Commit, data, f"{store.location}/{name}")
    if commit.number != number:
        raise DataDamaged(
            f"it says that it is commit {commit.number}", path=f"{store.location}/{name}", hint=_HINT
        )
    return commit


def read_state(store: ArchiveStore, name: str) -> State:
    """Raises DataDamaged, OSError."""
    data, place = store.read(name), f"{store.location}/{name}"
    if hashlib.sha256(data).hexdigest() != name.rpartition("-")[2]:
        raise DataDamaged("its content does not match its name", path=place, hint=_HINT)
    return decode(State, data, place)


def last_commit(store: ArchiveStore, known: int = 0) -> Commit | None:
    """The newest; `known` is the number of one that is there. None when the archive is empty. Raises DataDamaged,
    OSError."""
    if not known and (states := store.names(STATES)):
        # Of these there are far fewer. One of an attempt that failed has the number of the next commit at most.
        known = max(0, int(states[-1].rpartition("/")[2].partition("-")[0]) - 1)
    names = store.names(COMMITS, commit_name(known) if known else "")
    number = int(names[-1].rpartition("/")[2]) if names else known
    return read_commit(store, number) if number else None


def newest_state(store: ArchiveStore, last: int) -> tuple[int, str]:
    """Number and state object of the newest commit up to `last` that has one. Raises DataDamaged, OSError."""
    for name in reversed(store.names(STATES)):
        number = int(name.rpartition("/")[2].partition("-")[0])
        # An attempt that failed leaves an object that no commit names.
        if number <= last and (commit := read_commit(store, number)) is not None and commit.state == name:
            return number, name
    raise DataDamaged("no commit names a state to start from", path=store.location, hint=_HINT)
