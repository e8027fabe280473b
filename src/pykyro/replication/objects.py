"""Where an archive is kept: objects that are created once and never change.

The one thing that is asked of a store beyond reading and writing is to create an object that must not exist yet,
which every object store and every file system can do atomically. Nothing rests on replacing an object.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from pykyro.config.place import URL_FORMS, is_object_store, local_place
from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem, write_new_file
from pykyro.storage.files.lock import make_directories

if TYPE_CHECKING:
    from pykyro.storage.objects.cloud_store import CloudStore

_TEMPORARY: Final = ".tmp"
_PIECE_BYTES: Final = 8 << 20


class ArchiveStore(Protocol):
    """Objects by name. Every method may raise OSError."""

    @property
    def location(self) -> str:
        """The URL, for messages."""
        ...

    def create(self, name: str, data: bytes) -> None:
        """Make an object durable. FileExistsError when there is one of this name, which then stays as it is."""
        ...

    def upload(self, name: str, path: Path) -> None:
        """Make the content of a file an object whose name says what it holds, so that one that is there is the same.
        FileNotFoundError when there is no such file."""
        ...

    def read(self, name: str) -> bytes:
        """FileNotFoundError when there is none."""
        ...

    def pieces(self, name: str) -> Iterable[bytes]:
        """The content, some megabytes at a time. FileNotFoundError when there is none."""
        ...

    def exists(self, name: str) -> bool: ...

    def names(self, prefix: str, after: str = "") -> list[str]:
        """Names of objects that begin with `prefix`, a directory, and come after the name `after`; ascending."""
        ...


def normal_place(place: str) -> str:
    """One spelling of a place: an absolute path, or a URL without a slash at its end."""
    if "://" in local_place(place):
        return place.rstrip("/")
    return str(Path(local_place(place)).absolute())


def open_archive(url: str) -> ArchiveStore:
    """The archive at a URL; no request is made yet.

    Raises InvalidArgument for a URL of another form, FailedPrecondition when obstore is not installed, OSError when
    the settings for the store are missing or wrong.
    """
    check_archive_url(url)
    if not is_object_store(url):
        return DirectoryStore(LocalFileSystem(), Path(local_place(url)).absolute(), normal_place(url))
    return CloudArchive(url)


def check_archive_url(url: str) -> None:
    """Raises InvalidArgument for a URL of another form, FailedPrecondition when obstore is not installed."""
    if is_object_store(url):
        if importlib.util.find_spec("obstore") is None:
            raise FailedPrecondition(f"{url} needs the cloud extra: pip install 'pykyro[cloud]'")
    elif "://" in local_place(url):
        raise InvalidArgument(f"an archive is kept at {URL_FORMS}, got {url!r}", field="url")


class DirectoryStore:
    """An archive in a directory, on a disk that others can reach."""

    def __init__(self, filesystem: FileSystem, directory: Path, location: str) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self.location = location

    def create(self, name: str, data: bytes) -> None:
        self._write(name, [data])

    def upload(self, name: str, path: Path) -> None:
        with contextlib.suppress(FileExistsError):
            self._write(name, _pieces_of(self._filesystem.map(path)))

    def read(self, name: str) -> bytes:
        return self._filesystem.read(self._directory / name)

    def pieces(self, name: str) -> Iterable[bytes]:
        return _pieces_of(self._filesystem.map(self._directory / name))

    def exists(self, name: str) -> bool:
        return self._filesystem.exists(self._directory / name)

    def names(self, prefix: str, after: str = "") -> list[str]:
        try:
            found = self._filesystem.names(self._directory / prefix)
        except FileNotFoundError:
            return []
        names = [f"{prefix}/{name}" for name in found if not name.endswith(_TEMPORARY)]
        return [name for name in names if name > after]

    def _write(self, name: str, pieces: Iterable[bytes]) -> None:
        """A link is made or not, so the object is there whole or not at all, and never takes another's place."""
        path = self._directory / name
        make_directories(self._filesystem, path.parent)
        temporary = path.parent / f"{path.name}.{os.getpid()}-{uuid.uuid4().hex}{_TEMPORARY}"
        try:
            write_new_file(self._filesystem, temporary, pieces)
            self._filesystem.link(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                self._filesystem.remove(temporary)
        self._filesystem.sync_directory(path.parent)


class CloudArchive:
    """An archive under a prefix of a bucket (Azure: of a container)."""

    def __init__(self, url: str) -> None:
        from pykyro.storage.objects.cloud_error import as_os_error
        from pykyro.storage.objects.cloud_store import open_store

        parts = urlsplit(url)
        self.location = url.rstrip("/")
        self._errors = as_os_error
        with self._errors(self.location):
            self._store: CloudStore = open_store(parts.scheme, parts.netloc, parts.path.strip("/"))

    def create(self, name: str, data: bytes) -> None:
        import obstore

        with self._errors(f"{self.location}/{name}"):
            obstore.put(self._store, name, data, mode="create", use_multipart=False)

    def upload(self, name: str, path: Path) -> None:
        import obstore

        with open(path, "rb") as file, self._errors(f"{self.location}/{name}"):
            obstore.put(self._store, name, file)

    def read(self, name: str) -> bytes:
        import obstore

        with self._errors(f"{self.location}/{name}"):
            return bytes(obstore.get(self._store, name).bytes())

    def pieces(self, name: str) -> Iterable[bytes]:
        import obstore

        with self._errors(f"{self.location}/{name}"):
            for piece in obstore.get(self._store, name).stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    def exists(self, name: str) -> bool:
        import obstore

        try:
            with self._errors(f"{self.location}/{name}"):
                obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        return True

    def names(self, prefix: str, after: str = "") -> list[str]:
        import obstore

        found: list[str] = []
        with self._errors(f"{self.location}/{prefix}"):
            for group in obstore.list(self._store, prefix, offset=after or None):
                found += (item["path"] for item in group)
        return sorted(name for name in found if name > after)


def _pieces_of(data: memoryview) -> Iterable[bytes]:
    for start in range(0, len(data), _PIECE_BYTES):
        yield bytes(data[start : start + _PIECE_BYTES])
