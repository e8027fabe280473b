"""Options of the commands that speak to a server, and the client they ask for."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pykyro.cli.command import API_KEY_VARIABLE

SERVER_OPTIONS: Final = ("--api-key-file", "--tls", "--ca", "--cert", "--key", "--server-name")
"""Those that have no effect without --url."""

if TYPE_CHECKING:
    from pykyro.client.channel import Connection
    from pykyro.client.sync_client import Client
    from pykyro.client.tls import Tls


def add_connection_options(group: argparse._ArgumentGroup) -> None:
    """How to reach the server of --url."""
    group.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"file of the API key (environment: {API_KEY_VARIABLE})",
    )
    group.add_argument("--tls", action="store_true", help="use TLS; each of the next four options implies it")
    group.add_argument(
        "--ca", type=Path, metavar="FILE", help="authorities to trust instead of the default ones"
    )
    group.add_argument("--cert", type=Path, metavar="FILE", help="the client's certificate chain")
    group.add_argument("--key", type=Path, metavar="FILE", help="its private key")
    group.add_argument("--server-name", metavar="NAME", help="name in the server's certificate")
    group.add_argument(
        "--timeout-secs",
        type=float,
        default=60.0,
        metavar="N",
        help="timeout of a call (default: %(default)g)",
    )


def connected(options: argparse.Namespace) -> Client:
    """A client of the server of --url. Raises InvalidArgument, OSError."""
    from pykyro.client.sync_client import Client

    return Client(options.url, api_key=_api_key(options), tls=_tls(options), timeout_s=options.timeout_secs)


def connection_of(options: argparse.Namespace) -> Connection:
    """How to reach the server of --url, for who makes calls without a client. Raises InvalidArgument, OSError."""
    from pykyro.client.channel import connection

    return connection(options.url, _api_key(options), _tls(options), options.timeout_secs)


def _tls(options: argparse.Namespace) -> Tls | bool:
    from pykyro.client.tls import Tls

    if options.ca or options.cert or options.key or options.server_name:
        return Tls(options.ca, options.cert, options.key, options.server_name or "")
    return bool(options.tls)


def _api_key(options: argparse.Namespace) -> str | None:
    if options.api_key_file is None:
        return os.environ.get(API_KEY_VARIABLE)
    text: str = options.api_key_file.read_text("ascii", "replace").strip()
    return text
