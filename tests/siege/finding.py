"""What a siege finds."""

from __future__ import annotations


class Finding(Exception):
    """The server broke a promise. `kind` is one word for which."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
