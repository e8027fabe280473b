"""What several commands take from their command line and their environment."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
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


def missing_company(options: argparse.Namespace, needs: Mapping[str, str]) -> str:
    """What is wrong with options that have no effect without another one, which `needs` names; "" for nothing.

    Whoever gave one meant it to do something.
    """
    for option, other in needs.items():
        given = getattr(options, _attribute(option), None)
        if given is not None and given is not False and _unset(options, other):
            return f"{option} needs {other}"
    return ""


def _unset(options: argparse.Namespace, option: str) -> bool:
    value = getattr(options, _attribute(option))
    return value is None or value is False


def _attribute(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")
