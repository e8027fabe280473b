"""Digests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pykyro.storage.files.checksum import Digest, digest


def test_known_answers() -> None:
    """From the reference implementation: the digests stand in MANIFEST files and must never change."""
    assert digest(b"") == "99aa06d3014798d86001c324468d497f"
    assert digest(b"a") == "a96faf705af16834e6c632b61e964e1f"


@given(st.lists(st.binary(max_size=40)))
def test_pieces_digest_as_the_whole(pieces: list[bytes]) -> None:
    state = Digest()
    for piece in pieces:
        state.update(piece)
    assert state.text() == digest(b"".join(pieces))
