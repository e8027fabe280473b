"""The claim of a table that is being filled: what MANIFEST would say of it stands in the note of the move.

Once MANIFEST names the table this is the claim of any other.
"""

from __future__ import annotations

from pykyro.engine.remote.claim import Claim
from pykyro.model.types import LSN
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import RemoteEntry
from pykyro.storage.move_note import MoveNote, write_move_note


class MovingClaim(Claim):
    """Of one move."""

    note: MoveNote
    filesystem: FileSystem

    @property
    def _is_moving(self) -> bool:
        return self._manifests.current.remote is None

    def _remote(self) -> RemoteEntry:
        return self._manifests.current.remote or self.note.entry

    def _write(self, writers: tuple[str, ...]) -> None:
        if not self._is_moving:
            super()._write(writers)
            return
        entry = self.note.entry.model_copy(update={"writers": writers})
        note = self.note.model_copy(update={"entry": entry})
        write_move_note(self.filesystem, self._directory, note)
        self.note = note

    @property
    def _may_create(self) -> bool:
        return self._is_moving or super()._may_create

    @property
    def _position_min(self) -> LSN:
        return 0 if self._is_moving else super()._position_min
