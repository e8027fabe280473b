"""What `make docs` does to a page before it is made HTML."""

from __future__ import annotations

import re
from typing import Any, Final

_OUTSIDE: Final = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")


def on_page_markdown(markdown: str, **more: Any) -> str:
    """A page whose links to files of the tree outside docs/ are their texts: a site has no such files."""
    return _OUTSIDE.sub(r"\1", markdown)
