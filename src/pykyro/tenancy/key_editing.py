"""Changing the key file the way its owner would: one entry, or one word, and nothing around it.

The document is edited by a library that keeps comments (yaml_edit.py); what comes out is read again and must hold
exactly the intended keys, or nothing is written. The new file replaces the old one as a whole, and belongs to the
same owner.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from pykyro.model.errors import ConfigError
from pykyro.tenancy.api_keys import ApiKey, digest_from_hash, digest_of
from pykyro.tenancy.key_document import LIST_KEY, KeyEntry, entries
from pykyro.tenancy.key_file import check_protection, parse_key_file, read_text
from pykyro.tenancy.yaml_edit import (
    CommentedMap,
    CommentedSeq,
    Quoted,
    YamlEditError,
    edited_yaml,
    move_comments_below,
)

_HEADER: Final = f"""\
# API keys of KyroDB. 'kyrodb keys new' adds to this file, and SIGHUP makes a running server read it again.
{LIST_KEY}:
"""
_WORK_SUFFIX: Final = ".new"


def add_key(path: Path, key: ApiKey) -> None:
    """Append a key; the file is made when there is none. Raises ConfigError."""

    def edit(text: str) -> str:
        return _appended(text or _HEADER, key, path)

    _rewrite(path, edit, lambda before: [*before, key], may_create=True)


def disable_keys(path: Path, key_ids: Iterable[str]) -> None:
    """Set `enabled: false` in the entries of these keys. Raises ConfigError."""
    wanted = set(key_ids)

    def edit(text: str) -> str:
        places = [entry.number - 1 for entry in entries(text) if _key_id(entry) in wanted]

        def disable(document: CommentedMap) -> None:
            for place in places:
                document[LIST_KEY][place]["enabled"] = "false"

        return edited_yaml(text, disable, LIST_KEY)

    def intended(before: list[ApiKey]) -> list[ApiKey]:
        return [replace(key, enabled=False) if key.key_id in wanted else key for key in before]

    _rewrite(path, edit, intended)


def _rewrite(
    path: Path,
    edit: Callable[[str], str],
    intended: Callable[[list[ApiKey]], list[ApiKey]],
    *,
    may_create: bool = False,
) -> None:
    work = path.with_name(path.name + _WORK_SUFFIX)
    try:
        # Made before the file is read, it also keeps two edits apart.
        descriptor = os.open(work, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{work} exists: another edit is in progress; if none is, remove that file"
        ) from None
    except OSError as error:
        raise ConfigError(f"{work}: {error.strerror or error}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_edited(path, edit, intended, descriptor, may_create=may_create).encode())
            file.flush()
            os.fsync(descriptor)
        os.replace(work, path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(work)


def _edited(
    path: Path,
    edit: Callable[[str], str],
    intended: Callable[[list[ApiKey]], list[ApiKey]],
    descriptor: int,
    *,
    may_create: bool,
) -> str:
    text, before = "", list[ApiKey]()
    if path.exists() or not may_create:
        check_protection(path)
        text = read_text(path)
        before = parse_key_file(text, path, only_loopback=True).keys
        facts = path.stat()
        os.fchmod(descriptor, facts.st_mode & 0o777)
        if (facts.st_uid, facts.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, facts.st_uid, facts.st_gid)
    try:
        after = edit(text)
    except YamlEditError:
        raise ConfigError(f"{path}: its layout cannot be edited safely; change it by hand") from None
    if _essence(parse_key_file(after, path, only_loopback=True).keys) != _essence(intended(before)):
        raise ConfigError(f"{path}: its layout cannot be edited safely; change it by hand")
    return after


def _appended(text: str, key: ApiKey, path: Path) -> str:
    def append(document: CommentedMap) -> None:
        known = document[LIST_KEY]
        # A list without entries may also be written as null, which is a string here.
        some = isinstance(known, CommentedSeq) and bool(known)
        if document.fa.flow_style() or (some and known.fa.flow_style()):
            raise ConfigError(f"{path}: '{LIST_KEY}' is written in one line; write one entry per line first")
        entry = _entry(key)
        if some:
            move_comments_below(known, entry)
            known.append(entry)
        else:
            document[LIST_KEY] = CommentedSeq([entry])

    return edited_yaml(text, append, LIST_KEY)


def _entry(key: ApiKey) -> CommentedMap:
    return CommentedMap(
        key_hash=key.key_hash,
        tenant_id=Quoted(key.tenant_id),
        tenant_name=Quoted(key.tenant_name),
        max_vectors=str(key.max_vectors),
        max_qps=str(key.max_qps),
        enabled=str(key.enabled).lower(),
        is_admin=str(key.is_admin).lower(),
        created_at=Quoted(key.created_at),
    )


def _key_id(entry: KeyEntry) -> str:
    key, key_hash = entry.fields.get("key"), entry.fields.get("key_hash")
    digest = digest_of(key.text) if key is not None else digest_from_hash(key_hash.text if key_hash else "")
    return "" if digest is None else digest.hex()[:12]


def _essence(keys: Iterable[ApiKey]) -> list[ApiKey]:
    return sorted(keys, key=lambda key: key.digest)
