"""kyrodb: tools of an operator beside the server and its backups."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from pykyro.cli.command import missing_option, orderly_end, print_error, run
from pykyro.version import __version__

_MODULES: Final = {
    "keys": "pykyro.cli.keys",
    "collections": "pykyro.cli.collections",
    "move": "pykyro.cli.move",
    "doctor": "pykyro.cli.doctor",
    "drill": "pykyro.cli.backup.drill",
    "top": "pykyro.cli.top.top",
    "export": "pykyro.cli.migration",
    "import": "pykyro.cli.migration",
    "mcp": "pykyro.cli.mcp",
    "promote": "pykyro.cli.promote",
    "fetch": "pykyro.cli.fetch",
}
"""Where each command is. The engine and all else that some commands need take half a second to load: a command that
is named loads its own modules alone."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 for success, 1 for any error, 2 for wrong usage."""

    def body() -> int | None:
        words = sys.argv[1:] if arguments is None else arguments
        parser = _parser(words[0] if words else "")
        options = parser.parse_args(words)
        fault = missing_option(options, getattr(options, "needs", {}))
        if fault:
            parser.error(fault)
        with orderly_end():
            code: int | None = options.run(options)
        return code

    return run(body, print_error)


def _parser(command: str) -> argparse.ArgumentParser:
    """Of this command; of all, for help and errors, when there is no such command."""
    parser = argparse.ArgumentParser(
        prog="kyrodb", description="Tools to operate a KyroDB installation.", allow_abbrev=False
    )
    parser.add_argument("-V", "--version", action="version", version=f"kyrodb {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    wanted = [_MODULES[command]] if command in _MODULES else dict.fromkeys(_MODULES.values())
    for module in wanted:
        import_module(module).add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
