"""Reads an archive as untrusted input. Format: format.py.

Opening it walks all headers: names we would not have written, repeated names, sizes that do not fit, and bytes
outside members are refused before any content is used. Content is handed out only for members that the record
states, and proved against its digest while it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pykyro.backup import filename
from pykyro.backup.archive.format import BLOCK, END, decode_header, padding
from pykyro.backup.archive.record import Record, decode_record
from pykyro.backup.target.target import Readable, Target, chunks
from pykyro.model.errors import DataDamaged
from pykyro.model.limits import BACKUP_MEMBERS_MAX, BACKUP_RECORD_BYTES_MAX
from pykyro.model.types import BytesLike
from pykyro.storage.files.checksum import Digest

_HINT = "Use another backup"


@dataclass(frozen=True, slots=True)
class Member:
    """Place of a member's data in the archive."""

    offset: int
    size_bytes: int


class Archive:
    """An open archive whose structure is proved, its members' content not yet."""

    def __init__(self, source: Readable, path: str, backup_id: str) -> None:
        """`path` is for messages. Raises DataDamaged, OSError."""
        self._source = source
        self._path = path
        self.size_bytes = source.size_bytes
        self._members: dict[str, Member] = {}
        self._times: set[int] = set()
        self._walk()
        self.record = self._read_record(backup_id)
        self._require_stated_members()

    def content(self, name: str) -> Iterator[BytesLike]:
        """The data of a member, piece by piece; raises DataDamaged at its end when the digest does not match, so
        nothing may be made of it before then."""
        size_bytes, expected = self.record.members[name]
        member, found = self._members[name], Digest()
        for piece in chunks(self._source, member.offset, size_bytes):
            found.update(piece)
            yield piece
        if found.text() != expected:
            raise self._damage(f"{name} does not match its digest", member.offset)

    def verify(self) -> str:
        """Prove every member; the digest of the whole archive. Raises DataDamaged, OSError."""
        whole = Digest()
        at = 0
        for name, member in self._members.items():
            whole.update(self._source.read(at, member.offset - at))
            if name == filename.RECORD:
                whole.update(self._source.read(member.offset, member.size_bytes))
            else:
                for piece in self.content(name):
                    whole.update(piece)
            at = member.offset + member.size_bytes
        whole.update(self._source.read(at, self.size_bytes - at))
        return whole.text()

    def _walk(self) -> None:
        at, end = 0, self.size_bytes - len(END)
        while at < end:
            if len(self._members) == BACKUP_MEMBERS_MAX:
                raise self._damage(f"more than {BACKUP_MEMBERS_MAX} members", at)
            at = self._read_member(at, end)
        if at != end or bytes(self._source.read(end, len(END))) != END:
            raise self._damage("archive does not end where its last member ends", at)

    def _read_member(self, at: int, end: int) -> int:
        """Record the member whose header is at `at`; returns the place of the next one."""
        try:
            header = decode_header(bytes(self._source.read(at, BLOCK)))
        except ValueError as error:
            raise self._damage(str(error), at) from None
        if filename.RECORD in self._members:
            raise self._damage("there is a member after the record", at)
        if not filename.is_member(header.name) or header.name in self._members:
            raise self._damage(f"member {header.name!r} has an unknown name, or occurs twice", at)
        self._times.add(header.time_s)
        data_at = at + BLOCK
        data_end = data_at + header.size_bytes
        gap = padding(header.size_bytes)
        if data_end + gap > end:
            raise self._damage(
                f"member {header.name} claims {header.size_bytes} bytes, more than there are", at
            )
        if any(self._source.read(data_end, gap)):
            raise self._damage(f"the padding after member {header.name} is not zero", data_end)
        self._members[header.name] = Member(data_at, header.size_bytes)
        return data_end + gap

    def _read_record(self, backup_id: str) -> Record:
        member = self._members.get(filename.RECORD)
        if member is None or member.size_bytes > BACKUP_RECORD_BYTES_MAX:
            raise self._damage(
                f"{filename.RECORD} is missing, or has more than {BACKUP_RECORD_BYTES_MAX} bytes", 0
            )
        try:
            record = decode_record(bytes(self._source.read(member.offset, member.size_bytes)))
        except ValueError as error:
            raise self._damage(f"{filename.RECORD}: {error}", member.offset) from None
        if record.id != backup_id:
            raise self._damage(f"the archive belongs to backup {record.id}", member.offset)
        return record

    def _require_stated_members(self) -> None:
        found = {name: m.size_bytes for name, m in self._members.items() if name != filename.RECORD}
        stated = {name: size for name, (size, _) in self.record.members.items()}
        if found != stated:
            names = sorted(name for name in {*found, *stated} if found.get(name) != stated.get(name))
            raise self._damage(f"members do not match {filename.RECORD}: {', '.join(names[:3])}", 0)
        if self._times != {self.record.created_us // 1_000_000}:
            raise self._damage("the times of the members differ from the time of the backup", 0)

    def _damage(self, reason: str, offset: int) -> DataDamaged:
        return DataDamaged(reason, path=self._path, offset=offset, hint=_HINT)


def open_archive(target: Target, backup_id: str) -> Archive:
    """The archive of a backup, its structure proved. Raises DataDamaged, FileNotFoundError, OSError."""
    name = filename.archive(backup_id)
    return Archive(target.open(name), f"{target.location}/{name}", backup_id)
