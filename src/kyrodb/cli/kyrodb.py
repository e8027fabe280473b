"""kyrodb: what an operator does beside running the server and its backups."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kyrodb.cli import doctor, drill, keys, migration, top
from kyrodb.descriptors import restore_standard_streams
from kyrodb.errors import KyroError
from kyrodb.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 when it did what was asked, 1 for any error, 2 for wrong usage."""
    restore_standard_streams()
    options = _parser().parse_args(arguments)
    try:
        code: int | None = options.run(options)
    except (KyroError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Error: interrupted", file=sys.stderr)
        return 1
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kyrodb", description="Look after a KyroDB installation.", allow_abbrev=False
    )
    parser.add_argument("-V", "--version", action="version", version=f"kyrodb {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    keys.add_command(commands)
    doctor.add_command(commands)
    drill.add_command(commands)
    top.add_command(commands)
    migration.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
