"""What a change of the catalogue raises when the disk refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pykyro.model.errors import WriteFailed


@contextmanager
def writing(directory: Path, doing: str) -> Iterator[None]:
    """Raises WriteFailed for an OSError within."""
    try:
        yield
    except OSError as error:
        raise WriteFailed(
            f"{doing}: {error.strerror or error}",
            path=directory,
            hint="Free space or mend the disk, then try again",
        ) from error
