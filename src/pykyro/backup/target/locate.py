"""From the place of backups as a user writes it to a Target."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from pykyro.backup.target.scratch import remove_stale_scratch
from pykyro.backup.target.target import DirectoryTarget, Target
from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.storage.files.filesystem import LocalFileSystem


def is_url(place: str) -> bool:
    """Whether the place is an object store rather than a directory."""
    return "://" in place


def open_target(place: str) -> Target:
    """A directory, or s3://bucket/prefix. Scratch directories of killed processes, there and in the system's
    directory for temporary files, are removed.

    Raises the errors of `check_place`, OSError.
    """
    check_place(place)
    remove_stale_scratch(Path(tempfile.gettempdir()))
    if not is_url(place):
        directory = Path(place).absolute()
        remove_stale_scratch(directory)
        return DirectoryTarget(LocalFileSystem(), directory)
    from pykyro.backup.target.object_store import ObjectStoreTarget

    url = urlsplit(place)
    return ObjectStoreTarget(url.netloc, url.path)


def check_place(place: str) -> None:
    """Whether backups can be kept there, as far as can be said without a look.

    Raises InvalidArgument for a URL that is none of s3://bucket/prefix, FailedPrecondition when the s3 extra is not
    installed.
    """
    if not is_url(place):
        return
    url = urlsplit(place)
    if url.scheme != "s3" or not url.netloc or url.query or url.fragment:
        raise InvalidArgument(
            f"{place}: backups are kept in a directory or at s3://bucket/prefix", field="backup_dir"
        )
    # Not imported for this: it takes a second and tens of megabytes, and a server that checks needs neither.
    if importlib.util.find_spec("boto3") is None:
        raise FailedPrecondition(f"{place} needs the s3 extra: pip install 'pykyro[s3]'")
