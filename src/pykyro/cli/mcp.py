"""kyrodb mcp: the database as tools of a language model, by the Model Context Protocol on stdin and stdout."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from pykyro.cli.place import add_place_options, opened_database
from pykyro.integrations.extras import needs_extra
from pykyro.model.errors import ConfigError

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Commands) -> None:
    """Add `mcp`."""
    parser = commands.add_parser(
        "mcp",
        help="serve a database to language models (Model Context Protocol)",
        description="Serve a database to a program with a language model, by the Model Context Protocol on standard "
        "input and output. Tools only read, unless --allow-writes is given.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--collection",
        default="default",
        metavar="NAME",
        help="the collection of tools that are told none (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-writes", action="store_true", help="also offer tools that insert, update and delete"
    )
    add_place_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    try:
        with needs_extra("mcp", "mcp"):
            from pykyro.integrations.mcp.server import make_server
    except ModuleNotFoundError as error:
        raise ConfigError(str(error)) from error
    with opened_database(options) as database:
        server = make_server(database, options.collection, allow_writes=options.allow_writes)
        _in_a_thread(lambda: server.run("stdio"))


def _in_a_thread(serve: Callable[[], None]) -> None:
    """Serve until there is no input any more, or a signal ends this thread. The threads that wait for input can be
    ended by neither; here they are daemons, so nobody waits for them, and the database is closed."""
    failures: list[BaseException] = []

    def body() -> None:
        try:
            serve()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=body, name="mcp", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
