"""What every policy can do. None is thread-safe."""

from __future__ import annotations

from typing import Protocol


class Policy(Protocol):
    """Ids of at most `capacity` documents. A lookup is `touch`; after a miss, `offer` may take it."""

    capacity: int

    def __len__(self) -> int: ...

    def __contains__(self, key: int) -> bool: ...

    def touch(self, key: int) -> bool:
        """A document was looked up; whether it is held."""
        ...

    def offer(self, key: int) -> list[int] | None:
        """A document that was looked up and is not held was found elsewhere.

        What had to go for it, or None when it is not taken.
        """
        ...

    def forget(self, key: int) -> None:
        """Let go of a document, held or not: it changed."""
        ...

    def held(self) -> list[int]:
        """Everything held, what would go first in front."""
        ...


def access(policy: Policy, key: int) -> bool:
    """One lookup of a document that exists; whether it was a hit. All a ghost does."""
    hit = policy.touch(key)
    if not hit:
        policy.offer(key)
    return hit
