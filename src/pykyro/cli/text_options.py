"""Options of commands that create a collection: which words are found in it."""

from __future__ import annotations

import argparse
from typing import Any, Final

from pykyro.model.errors import InvalidArgument
from pykyro.model.languages import LANGUAGES, SIMPLE

OPTIONS: Final = ("--text-key", "--text-language")


def add_text_options(parser: Any) -> None:
    """Add them to a parser or a group of it."""
    parser.add_argument(
        "--text-key",
        action="append",
        metavar="KEY",
        help="a metadata key whose words are searched; give it several times for several",
    )
    parser.add_argument(
        "--text-language",
        choices=LANGUAGES,
        help=f"whose stems words are reduced to; {SIMPLE} takes them as they are (default: {SIMPLE})",
    )


def text_options(options: argparse.Namespace) -> dict[str, object] | None:
    """What they say, as `create_collection` takes it; None when no key is given. Raises InvalidArgument."""
    if options.text_key is None:
        if options.text_language is not None:
            raise InvalidArgument(
                "--text-language needs --text-key: name the metadata that has the words", field="text_key"
            )
        return None
    return {"keys": options.text_key, "language": options.text_language or SIMPLE}
