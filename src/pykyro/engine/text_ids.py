"""Where documents are whose ids are text.

The engine knows documents by keys of 64 bits. The key of a text id is a hash of it and, in the low eight bits, a
place:

    key = owner : hash of the text, 56 bits : place, 8 bits

Two texts may have one hash. Then the first that came has place 0, the next place 1, and so on: they are a chain.
A text is looked for at places 0, 1, ... until it is found or a place is empty; that a document is the one is proved
by the text itself, which stands in its metadata (TEXT_ID_KEY). Deleting a document of a chain moves the last one into
its place, in the same frame of the log (resolve_text.py), so that there is no gap.

What goes by itself at its instant goes alone, also while the log can take nothing, and leaves a gap. So where
documents may expire, the first places are looked at even if some are empty: as many as a chain ever has.

The hash is keyed with random bytes of the collection, so that nobody can choose texts of one hash.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from pykyro.engine.tiers.merged_metadata import MergedMetadata
from pykyro.engine.tiers.stored_metadata import TierMetadata
from pykyro.model.metadata_wire import text_id_in
from pykyro.model.types import Key, key_of

PLACE_BITS: Final = 8
PLACES: Final = 1 << PLACE_BITS
"""The longest chain. Of a million million texts some are in a chain of two, and none in one of four."""
_HASH_BYTES: Final = 7


class TextKeys:
    """The keys of text ids of one collection. Thread-safe."""

    hash_bits = 8 * _HASH_BYTES
    """Fewer in tests, so that chains grow."""
    gapped_places = 3
    """Places behind which no chain goes on after a gap; more in tests."""

    def __init__(self, secret: bytes) -> None:
        self._hash = blake2b(digest_size=_HASH_BYTES, key=secret)
        self._dropped = 8 * _HASH_BYTES - self.hash_bits

    def first(self, tenant: int | None, text: str) -> Key:
        """The key at place 0 of the chain that this text is in, if it is in any."""
        state = self._hash.copy()
        state.update(text.encode())
        number = int.from_bytes(state.digest(), "big") >> self._dropped << PLACE_BITS
        return number if tenant is None else key_of(tenant, number)

    @classmethod
    def goes_on_until(cls, key: Key, *, may_expire: bool) -> Key:
        """An empty place from this key on is the end of the chain that `key` is in."""
        first = key & ~(PLACES - 1)
        return first + cls.gapped_places - 1 if may_expire else first

    @staticmethod
    def chain_from(first: Key) -> range:
        """The keys that a text may have, in the order in which they are to be looked at."""
        return range(first, first + PLACES)


def rest_of_chain(key: Key) -> range:
    """The keys behind this one in its chain."""
    return range(key + 1, (key | PLACES - 1) + 1)


def text_id_of(metadata: TierMetadata) -> str:
    """The text id of a stored document."""
    while isinstance(metadata, MergedMetadata):
        metadata = metadata.base
    return text_id_in(metadata.public)
