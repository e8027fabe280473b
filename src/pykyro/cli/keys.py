"""kyrodb keys: create, list and disable API keys."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from pykyro.cli.command import integer, text_argument
from pykyro.config import load_settings
from pykyro.model.errors import ConfigError
from pykyro.model.limits import COUNT_MAX, MAX_QPS_MAX
from pykyro.tenancy.api_keys import ApiKey, digest_of, generate_key, tenant_id_fault
from pykyro.tenancy.key_editing import add_key, disable_keys
from pykyro.tenancy.key_file import KeyFile, read_key_file

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_MAX_VECTORS: Final = 1_000_000
_RELOAD: Final = "A running server reads the file again on SIGHUP (kill -HUP <pid>)."


def add_command(commands: Commands) -> None:
    """Add `keys` and its verbs."""
    parser = commands.add_parser("keys", help="create, list and disable API keys", allow_abbrev=False)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_new(verbs)
    _add_list(verbs)
    _add_disable(verbs)


def _add_new(verbs: Commands) -> None:
    parser = verbs.add_parser(
        "new",
        help="create a key, store its hash, and show the key once",
        description="Create a key and add its hash to the key file. The key is written to standard output once. "
        "An option that is not given has the value of the tenant's last key; for a new tenant it is --name ID "
        f"--max-vectors {_MAX_VECTORS} --max-qps 0.",
        allow_abbrev=False,
    )
    _add_file_options(parser)
    parser.add_argument("--tenant", required=True, metavar="ID", help="tenant the key is for: A-Z a-z 0-9 _")
    parser.add_argument("--name", type=text_argument, metavar="TEXT", help="name of the tenant for people")
    parser.add_argument(
        "--max-vectors",
        type=integer(1, COUNT_MAX),
        metavar="N",
        help="documents the tenant may hold",
    )
    parser.add_argument(
        "--max-qps",
        type=integer(0, MAX_QPS_MAX),
        metavar="N",
        help="requests a second; 0 is the server's default",
    )
    parser.add_argument(
        "--admin", action="store_true", help="also allow flushes, snapshots and the usage of all tenants"
    )
    parser.set_defaults(run=_new)


def _add_list(verbs: Commands) -> None:
    parser = verbs.add_parser("list", help="show the keys, not their secrets", allow_abbrev=False)
    _add_file_options(parser)
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="output format (default: %(default)s)"
    )
    parser.set_defaults(run=_list)


def _add_disable(verbs: Commands) -> None:
    parser = verbs.add_parser("disable", help="disable keys", allow_abbrev=False)
    _add_file_options(parser)
    parser.add_argument("key_ids", nargs="*", metavar="KEY_ID", help="as 'kyrodb keys list' shows it")
    parser.add_argument("--tenant", metavar="ID", help="all keys of this tenant")
    parser.set_defaults(run=_disable)


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "-f", "--file", type=Path, help="the key file (default: auth.api_keys_file of the configuration)"
    )
    source.add_argument(
        "-c", "--config", type=Path, help="the server's configuration (environment: KYRODB_CONFIG)"
    )


def _new(options: argparse.Namespace) -> None:
    if fault := tenant_id_fault(options.tenant):
        raise ConfigError(f"--tenant: {fault}")
    path = _key_file(options)
    key = generate_key(options.tenant)
    like = _last_key(path, options.tenant)
    entry = ApiKey(
        digest_of(key),
        options.tenant,
        like.tenant_name if options.name is None else options.name,
        like.max_vectors if options.max_vectors is None else options.max_vectors,
        like.max_qps if options.max_qps is None else options.max_qps,
        is_admin=options.admin,
        created_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )
    if not entry.tenant_name.isprintable() or not entry.tenant_name.strip():
        raise ConfigError(f"--name {entry.tenant_name!r} must be printable text in one line")
    add_key(path, entry)
    print(key)
    print(
        f"{path} holds the hash of key {entry.key_id}; the key itself is not shown again. {_RELOAD}",
        file=sys.stderr,
    )


def _last_key(path: Path, tenant_id: str) -> ApiKey:
    """The key of this tenant that a new one takes after."""
    keys = read_key_file(path, only_loopback=True).keys if path.exists() else []
    first = ApiKey(b"", tenant_id, tenant_id, _MAX_VECTORS)
    return next((key for key in reversed(keys) if key.tenant_id == tenant_id), first)


def _list(options: argparse.Namespace) -> None:
    file = _read(options)
    rows = [
        {
            "id": key.key_id,
            "tenant_id": key.tenant_id,
            "tenant_name": key.tenant_name,
            "max_vectors": key.max_vectors,
            "max_qps": key.max_qps,
            "enabled": key.enabled,
            "is_admin": key.is_admin,
            "created_at": key.created_at,
            "stored": "clear" if key.clear else "hashed",
        }
        for key in file.keys
    ]
    if options.format == "json":
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    for warning in file.warnings:
        print(f"Warning: {warning}", file=sys.stderr)


def _disable(options: argparse.Namespace) -> None:
    if bool(options.key_ids) == (options.tenant is not None):
        raise ConfigError("name the keys to disable by KEY_ID, or all of a tenant by --tenant")
    keys = _read(options).keys
    if options.tenant is not None:
        chosen = [key for key in keys if key.tenant_id == options.tenant]
        if not chosen:
            raise ConfigError(f"--tenant {options.tenant}: has no key in the file")
    else:
        known = {key.key_id: key for key in keys}
        if unknown := [key_id for key_id in options.key_ids if key_id not in known]:
            raise ConfigError(*(f"{key_id}: no key of the file has this id" for key_id in unknown))
        chosen = [known[key_id] for key_id in options.key_ids]
    disable_keys(_key_file(options), [key.key_id for key in chosen])
    for key in chosen:
        print(f"disabled {key.key_id} of tenant {key.tenant_id}")
    print(_RELOAD, file=sys.stderr)


def _read(options: argparse.Namespace) -> KeyFile:
    return read_key_file(_key_file(options), only_loopback=True)


def _key_file(options: argparse.Namespace) -> Path:
    if options.file is not None:
        return Path(options.file)
    path = load_settings(options.config, os.environ).settings.auth.api_keys_file
    if path is None:
        raise ConfigError("auth.api_keys_file is not set: set it, or name the file with --file")
    return path


def _print_table(rows: Sequence[Mapping[str, object]]) -> None:
    if not rows:
        print("no keys")
        return
    table = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def _cell(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
