"""Changing the key file the way its owner would: one entry, or one word, and nothing around it.

The text is edited in place, so comments stay; the result is read again and must hold exactly the intended keys, or
nothing is written. The new file replaces the old one as a whole, and belongs to the same owner.
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
        for entry in reversed(list(entries(text))):
            if _key_id(entry) in wanted:
                enabled = entry.fields["enabled"]
                text = text[: enabled.start] + "false" + text[enabled.end :]
        return text

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
    after = edit(text)
    if _essence(parse_key_file(after, path, only_loopback=True).keys) != _essence(intended(before)):
        raise ConfigError(f"{path}: its layout cannot be edited safely; change it by hand")
    return after


def _appended(text: str, key: ApiKey, path: Path) -> str:
    known = list(entries(text))
    if not known:
        return _first_entry(text, key, path)
    last = known[-1]
    if not last.block:
        raise ConfigError(f"{path}: '{LIST_KEY}' is written in one line; write one entry per line first")
    # An entry's first field begins two places behind its dash.
    line_end = text.find("\n", last.end)
    at = len(text) if line_end < 0 else line_end + 1
    start = "" if text[:at].endswith("\n") else "\n"
    return text[:at] + start + _entry_text(key, " " * (last.column - 2)) + text[at:]


def _first_entry(text: str, key: ApiKey, path: Path) -> str:
    for empty in (f"{LIST_KEY}: []", f"{LIST_KEY}:"):
        before, found, after = text.partition(empty)
        if found and (not before or before.endswith("\n")) and (not after or after.startswith("\n")):
            return f"{before}{LIST_KEY}:\n{_entry_text(key, '  ')}{after.removeprefix(chr(10))}"
    raise ConfigError(f"{path}: write the line '{LIST_KEY}:' into it to add the first key")


def _entry_text(key: ApiKey, indent: str) -> str:
    quoted = key.tenant_name.replace("'", "''")
    lines = [
        f"- key_hash: {key.key_hash}",
        f"  tenant_id: '{key.tenant_id}'",
        f"  tenant_name: '{quoted}'",
        f"  max_vectors: {key.max_vectors}",
        f"  max_qps: {key.max_qps}",
        f"  enabled: {str(key.enabled).lower()}",
        f"  is_admin: {str(key.is_admin).lower()}",
        f"  created_at: '{key.created_at}'",
    ]
    return "".join(f"{indent}{line}\n" for line in lines)


def _key_id(entry: KeyEntry) -> str:
    key, key_hash = entry.fields.get("key"), entry.fields.get("key_hash")
    digest = digest_of(key.text) if key is not None else digest_from_hash(key_hash.text if key_hash else "")
    return "" if digest is None else digest.hex()[:12]


def _essence(keys: Iterable[ApiKey]) -> list[ApiKey]:
    return sorted(keys, key=lambda key: key.digest)
