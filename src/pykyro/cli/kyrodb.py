"""kyrodb: tools of an operator beside the server and its backups."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pykyro.cli import collections, doctor, keys, mcp, migration
from pykyro.cli.backup import drill
from pykyro.cli.command import missing_option, orderly_end, print_error, run
from pykyro.cli.top import top
from pykyro.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 for success, 1 for any error, 2 for wrong usage."""

    def body() -> int | None:
        parser = _parser()
        options = parser.parse_args(arguments)
        fault = missing_option(options, getattr(options, "needs", {}))
        if fault:
            parser.error(fault)
        with orderly_end():
            code: int | None = options.run(options)
        return code

    return run(body, print_error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kyrodb", description="Tools to operate a KyroDB installation.", allow_abbrev=False
    )
    parser.add_argument("-V", "--version", action="version", version=f"kyrodb {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    keys.add_command(commands)
    collections.add_command(commands)
    doctor.add_command(commands)
    drill.add_command(commands)
    top.add_command(commands)
    migration.add_commands(commands)
    mcp.add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
