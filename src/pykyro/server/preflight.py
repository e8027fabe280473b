"""Would a server start as the settings say? Everything a start proves, by looking alone: nothing is made or changed.

Each fault names its key. A fact that may change before the server starts, such as a port that is taken now, is a
note.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from pykyro.config import Settings
from pykyro.config.settings.server import TlsSettings
from pykyro.model.errors import ConfigError, StorageError
from pykyro.model.text_ids import id_type_of
from pykyro.storage import filename
from pykyro.storage.files.lock import owner_of
from pykyro.storage.verify import size_faults
from pykyro.tenancy.key_file import read_key_file
from pykyro.transport.tls import Certificates, http_context, read_pem


def preflight(settings: Settings) -> tuple[list[str], list[str]]:
    """Faults that keep a server from starting, and notes."""
    faults: list[str] = []
    notes: list[str] = []
    for check in (_keys, _packages):
        try:
            check(settings)
        except ConfigError as error:
            faults += error.faults
    if settings.server.tls.enabled:
        faults += certificate_faults(settings.server.tls)
    faults += _data_dir(settings)
    faults += _log_file(settings)
    backups = settings.backup.directory
    if settings.backup.interval_secs is not None and backups is not None:
        faults += [f"backup.dir = {backups}: {fault}" for fault in directory_faults(backups)]
    for name, host, port in ports(settings):
        refused = cannot_listen(host, port)
        if refused is not None:
            text = f"{name}: {host}:{port}: {refused.strerror or refused}"
            (notes if refused.errno == errno.EADDRINUSE else faults).append(text)
    owner = owner_of(settings.persistence.data_dir)
    if owner is not None:
        notes.append(f"persistence.data_dir = {settings.persistence.data_dir}: in use by process {owner}")
    return faults, notes


def _keys(settings: Settings) -> None:
    auth, server = settings.auth, settings.server
    if auth.enabled and auth.api_keys_file is not None:
        read_key_file(auth.api_keys_file, only_loopback=server.grpc_is_loopback and server.http_is_loopback)


def _packages(settings: Settings) -> None:
    # The server comes with these, and kyrodb doctor uses other functions of this module.
    from pykyro.service.tracing import require_tracing
    from pykyro.transport.grpc.transport import choose

    choose(settings)
    require_tracing(settings.tracing)


def certificate_faults(tls: TlsSettings) -> Sequence[str]:
    """Reasons why these certificates cannot be served, with TLS enabled."""
    named = (("cert_path", tls.cert_path), ("key_path", tls.key_path), ("ca_cert_path", tls.ca_cert_path))
    faults: list[str] = []
    for key, path in named:
        try:
            if path is not None:
                read_pem(key, path)
        except ConfigError as error:
            faults += error.faults
    if faults:
        return faults
    try:
        certificates = Certificates.read(tls)
        if tls.http != "off":
            http_context(tls, certificates)
    except ConfigError as error:
        return error.faults
    return ()


# --- directories and files ------------------------------------------------------------------------


def directory_faults(directory: Path) -> Iterator[str]:
    """Reasons why this process cannot use a directory, or cannot create it."""
    try:
        facts = directory.stat()
    except FileNotFoundError:
        if directory.is_symlink():
            yield f"is a symbolic link to {os.readlink(directory)}, which does not exist"
            return
    except NotADirectoryError:
        pass
    except OSError as error:
        yield f"cannot be used: {error.strerror or error}"
        return
    else:
        if not stat.S_ISDIR(facts.st_mode):
            yield "is not a directory"
        elif not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            yield f"{_denied(directory)} read and write it"
        elif _holds_no_files(directory):
            yield "is on a file system that cannot store a database"
        elif _is_full(directory):
            yield f"is on a disk without any room left ({os.strerror(errno.ENOSPC)}): free space"
        return
    above = next(path for path in directory.absolute().parents if path.exists())
    if not above.is_dir():
        yield f"does not exist and cannot be made: {above} is not a directory"
    elif not os.access(above, os.W_OK | os.X_OK):
        yield f"does not exist and cannot be made: {_denied(above)} write to {above}"
    elif _holds_no_files(above):
        yield f"does not exist and cannot be made: {above} is on a file system that cannot store a database"
    elif _is_full(above):
        yield f"does not exist and cannot be made: there is no room left on the disk of {above}: free space"


def _holds_no_files(directory: Path) -> bool:
    """Whether it is of a kind that shows what the system knows and has no room, such as /proc: there the superuser
    has every right, and still nothing can be made."""
    if os.statvfs(directory).f_blocks:
        return False
    try:
        # A file without a name: if it is created, no other program sees it.
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError:
        return True
    return False


def _is_full(path: Path) -> bool:
    disk = os.statvfs(path)
    # File systems without blocks do not count them.
    return disk.f_blocks > 0 and (disk.f_bavail if os.geteuid() else disk.f_bfree) == 0


def _denied(path: Path) -> str:
    read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    return "is on a read-only file system: no user may" if read_only else f"user {os.geteuid()} may not"


def _data_dir(settings: Settings) -> Iterator[str]:
    directory = settings.persistence.data_dir
    where = f"persistence.data_dir = {directory}"
    faults = list(directory_faults(directory))
    yield from (f"{where}: {fault}" for fault in faults)
    if faults or not directory.is_dir():
        return
    names = os.listdir(directory)
    if names and not settings.persistence.enable_recovery:
        yield f"persistence.enable_recovery = false: {directory} holds data, which would be lost; set it to true"
    try:
        manifest, damage = size_faults(directory)
    except FileNotFoundError:
        data = [name for name in names if filename.is_data_file(name)]
        if data and not settings.persistence.allow_fresh_start_on_recovery_failure:
            yield f"{where}: MANIFEST is missing, but there is data, such as {data[0]}"
        return
    except (StorageError, OSError) as error:
        if not settings.persistence.allow_fresh_start_on_recovery_failure:
            yield f"{where}: {error}"
        return
    if not settings.persistence.allow_fresh_start_on_recovery_failure:
        yield from (f"{where}: {fault}; restore a backup" for fault in damage)
    held, wanted = (
        (manifest.dimension, manifest.metric.value),
        (settings.hnsw.dimension, settings.hnsw.distance),
    )
    if held != wanted:
        yield (
            f"hnsw.dimension = {wanted[0]}, hnsw.distance = {wanted[1]}: {directory} holds vectors of dimension "
            f"{held[0]}, distance {held[1]}; set these, or name another persistence.data_dir"
        )
    id_type, said = id_type_of(manifest.text_ids is not None), settings.collections.default_id_type
    if said not in (None, id_type):
        yield (
            f"collections.default_id_type = {said}: the ids of the documents in {directory} are of type {id_type}; "
            "set this, or name another persistence.data_dir"
        )
    lock = directory / filename.LOCK
    if os.path.lexists(lock) and not stat.S_ISREG(lock.lstat().st_mode):
        yield f"{where}: {lock} is not a lock file of a database: remove it while no process has the database open"


def _log_file(settings: Settings) -> Iterator[str]:
    path = settings.logging.file
    if path is None:
        return
    where = f"logging.file = {path}"
    try:
        facts = path.stat()
    except FileNotFoundError:
        yield from (
            f"{where}: its directory {path.parent}: {fault}" for fault in directory_faults(path.parent)
        )
        return
    except OSError as error:
        yield f"{where}: {error.strerror or error}"
        return
    if stat.S_ISDIR(facts.st_mode):
        yield f"{where}: is a directory"
    elif not (stat.S_ISREG(facts.st_mode) or stat.S_ISCHR(facts.st_mode)):
        yield f"{where}: is not a file to which lines can be appended"
    elif not os.access(path, os.W_OK):
        yield f"{where}: {_denied(path)} write to it"


# --- ports ----------------------------------------------------------------------------------------


def ports(settings: Settings) -> tuple[tuple[str, str, int], tuple[str, str, int]]:
    """Key, address and number of both ports."""
    server = settings.server
    return (
        ("server.port", server.host, server.port),
        ("server.http_port", server.observability_host, server.observability_port),
    )


def cannot_listen(host: str, port: int) -> OSError | None:
    """Why a server cannot listen there now; None when it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None
