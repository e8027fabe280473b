"""From what a user calls the place of backups to a Target."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from kyrodb.backup.target import DirectoryTarget, Target
from kyrodb.errors import FailedPrecondition, InvalidArgument
from kyrodb.storage.filesystem import LocalFileSystem


def is_url(place: str) -> bool:
    """Whether the place is an object store rather than a directory."""
    return "://" in place


def open_target(place: str) -> Target:
    """A directory, or s3://bucket/prefix.

    Raises InvalidArgument for another URL, FailedPrecondition when the s3 extra is not installed, OSError.
    """
    if not is_url(place):
        return DirectoryTarget(LocalFileSystem(), Path(place).absolute())
    url = urlsplit(place)
    if url.scheme != "s3" or not url.netloc or url.query or url.fragment:
        raise InvalidArgument(
            f"{place}: backups are kept in a directory or at s3://bucket/prefix", field="backup_dir"
        )
    try:
        from kyrodb.backup.object_store import ObjectStoreTarget
    except ModuleNotFoundError as error:
        if error.name not in ("boto3", "botocore"):
            raise
        raise FailedPrecondition(f"{place} needs the s3 extra: pip install 'kyrodb-server[s3]'") from error
    return ObjectStoreTarget(url.netloc, url.path)
