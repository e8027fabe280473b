"""From the place of backups as a user writes it to a Target."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from pykyro.backup.target.scratch import remove_stale_scratch
from pykyro.backup.target.target import DirectoryTarget, Target
from pykyro.config.place import URL_FORMS, is_object_store, local_place
from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.storage.files.filesystem import LocalFileSystem


def is_url(place: str) -> bool:
    """Whether the place is an object store rather than a directory."""
    return "://" in local_place(place)


def open_target(place: str) -> Target:
    """A directory, or a prefix in an object store. Scratch directories of killed processes, there and in the
    system's directory for temporary files, are removed.

    Raises the errors of `check_place`, OSError.
    """
    check_place(place)
    place = local_place(place)
    remove_stale_scratch(Path(tempfile.gettempdir()))
    if not is_url(place):
        directory = Path(place).absolute()
        remove_stale_scratch(directory)
        return DirectoryTarget(LocalFileSystem(), directory)
    from pykyro.backup.target.object_store import ObjectStoreTarget

    url = urlsplit(place)
    return ObjectStoreTarget(url.netloc, url.path, url.scheme)


def check_place(place: str) -> None:
    """Whether backups can be kept there, as far as can be said without a look.

    Raises InvalidArgument for a URL of another form, FailedPrecondition when obstore is not installed.
    """
    if not is_url(place):
        return
    if not is_object_store(place):
        raise InvalidArgument(
            f"{place}: backups are kept in a directory or at {URL_FORMS}", field="backup_dir"
        )
    # Not imported for this: a server that only checks needs no client of object stores.
    if importlib.util.find_spec("obstore") is None:
        raise FailedPrecondition(f"{place} needs the cloud extra: pip install 'pykyro[cloud]'")
