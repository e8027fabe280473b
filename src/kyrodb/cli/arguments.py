"""What several commands take from their command line and their environment."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

API_KEY_VARIABLE: Final = "KYRODB_API_KEY"
"""The variable of the environment that holds the key to use at a server."""


def integer(least: int, most: int) -> Callable[[str], int]:
    """For `type` of an argument: an integer within these bounds."""

    def integer(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not from {least} to {most}")
        return value

    return integer
