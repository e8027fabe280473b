"""The error of a program whose environment lacks the packages of a framework."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs_extra(extra: str, package: str) -> Iterator[None]:
    """Around an import: where `package` is missing, the error says which extra of pykyro brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(
            f"{package} is not installed; it comes with an extra of pykyro: pip install 'pykyro[{extra}]'",
            name=error.name,
        ) from error
