"""What can go wrong between here and the other side."""

from __future__ import annotations

from pykyro.model.errors import Unavailable


class RemoteAway(Unavailable):
    """The server of the cold tier does not answer. Nothing is lost: what is acknowledged is in the log or there."""


class RowGone(Unavailable):
    """A row was deleted between finding out where a document is and reading it: the document is somewhere else now,
    so looking again finds it."""
