"""How a cache stays exactly as new as the documents, without a lock around reads.

A sequence lock, as in the Linux kernel (Documentation/locking/seqlock.rst): the number is odd while a commit is
being applied to the tiers and the caches, even otherwise. The one writer calls `begin`, applies, brings the
caches up to date, and calls `end`, all before it acknowledges. Then

- what a reader computed between two looks at the same even number was computed from documents that did not
  change meanwhile, so it may be stored;
- a reader that finds an even number finds caches that contain every acknowledged write;
- a reader that finds an odd number asks no cache: another reader may already have seen the write in a tier,
  and a cached answer without it would step back in time.

A writer that fails half-way leaves the number odd for ever: no cache answers until a restart.
"""

from __future__ import annotations


class CommitSequence:
    """Counts the beginnings and ends of commits. One writer, any number of readers."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def number_if_idle(self) -> int | None:
        """The number to compare with later; None while a commit is being applied."""
        number = self.number
        return None if number & 1 else number

    def begin(self) -> None:
        """A commit starts to change the documents. For the writer; after a failed one the number stays odd."""
        self.number |= 1

    def end(self) -> None:
        """Documents and caches agree again."""
        self.number += 1
