"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """`WRONG` asks for something to be done; a `NOTE` is worth knowing."""

    OK = "ok"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one thing, and the advice."""

    severity: Severity
    topic: str
    text: str
    advice: str = ""


def ok(topic: str, text: str) -> Finding:
    return Finding(Severity.OK, topic, text)


def note(topic: str, text: str, advice: str = "") -> Finding:
    return Finding(Severity.NOTE, topic, text, advice)


def wrong(topic: str, text: str, advice: str) -> Finding:
    return Finding(Severity.WRONG, topic, text, advice)
