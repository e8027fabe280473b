"""What all imports from another database have in common."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pykyro
from pykyro.cli.backup import output
from pykyro.cli.connection import connected
from pykyro.model.errors import InvalidArgument

if TYPE_CHECKING:
    from pykyro.integrations.transfers.pages import Transferred


def refuse_options(options: argparse.Namespace, names: Iterable[str]) -> None:
    """Raises InvalidArgument for one of these options that was said: they mean nothing to this import."""
    for name in names:
        if getattr(options, name) not in (None, 1):
            flag = f"--{name.replace('_', '-')}"
            raise InvalidArgument(
                f"{flag} has no effect with --from {options.origin}: leave it out", field=name
            )


@contextmanager
def destination(options: argparse.Namespace) -> Iterator[tuple[pykyro.Database | pykyro.Client, str]]:
    """Where the rows go, and how people call that."""
    if options.data_dir is not None:
        with pykyro.open(options.data_dir, typed_values=True) as database:
            yield database, str(options.data_dir)
    else:
        with connected(options) as remote:
            yield remote, options.url


def bring_in(name: str, what: str, into: str, bring: Callable[..., Transferred]) -> Transferred:
    """Show how far `bring` is, which tells `on_rows`, and say what became of the rows of `what`, now in `into`."""
    began_s = time.monotonic()
    with output.progress(f"Importing {name}", counts="rows") as progress:
        found = bring(on_rows=progress.reach)
    print(
        f"Imported {what} into {into}: {found.written} rows, {found.there_already} were there, "
        f"{found.refused} left out, {time.monotonic() - began_s:.2f} s; each was read again and compared"
    )
    return found
