"""Editing YAML text so that comments, quotes and the order of keys stay, with ruamel.yaml.

Every plain word is a string here: `TRUE`, `1_000` and `~` are written as they were read. Nothing but mappings, lists
and strings is built, so no tag can name a Python object, and a key that is given twice is refused.
"""

from __future__ import annotations

import io
import re
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, ReusedAnchorWarning, YAMLError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import SingleQuotedScalarString as Quoted
from ruamel.yaml.tokens import CommentToken

__all__ = ["CommentedMap", "CommentedSeq", "Quoted", "YamlEditError", "edited_yaml", "move_comments_below"]

_HEAD: Final = re.compile(r"(?:[ \t]*(?:#.*)?\n)*---[ \t]*\n")
"""Comments and the line that starts the document. The library does not keep comments before that line."""
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#.*?(?=\s*$)", re.MULTILINE)


class YamlEditError(ValueError):
    """The text cannot be edited without loss."""


class _Words(VersionedResolver):
    """No plain word is a number, a boolean or null."""

    @property
    def versioned_resolver(self) -> Any:
        return {}


def edited_yaml(text: str, change: Callable[[CommentedMap], None], list_key: str) -> str:
    """The text of the document after `change`. The list under `list_key` keeps its indentation; indentation elsewhere
    and spaces between words may be made uniform.

    `text` must be one valid document, a mapping. Raises YamlEditError, without quoting the text, for one that the
    library cannot write again with every comment; what `change` raises.
    """
    line_end = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    found = _HEAD.match(text)
    head = found.group() if found else ""
    yaml = _parser()
    document = _loaded(yaml, text[len(head) :])
    known = document[list_key]
    if isinstance(known, CommentedSeq) and known and not known.fa.flow_style():
        yaml.indent(mapping=2, sequence=known[0].lc.col, offset=known.lc.col)
    change(document)
    written = io.StringIO()
    yaml.dump(document, written)
    after = head + written.getvalue()
    if Counter(_COMMENT.findall(text)) - Counter(_COMMENT.findall(after)):
        raise YamlEditError("comments would be lost")
    return after.replace("\n", line_end)


def _loaded(yaml: YAML, text: str) -> CommentedMap:
    try:
        with warnings.catch_warnings():
            # An anchor that is given twice is allowed, and the warning would quote the text.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            document: CommentedMap = yaml.load(text)
    except (YAMLError, RecursionError, TypeError):
        # A mapping as a key is a TypeError.
        raise YamlEditError("the library cannot read the text") from None
    return document


def _parser() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.Resolver = _Words
    yaml.preserve_quotes = True
    yaml.allow_duplicate_keys = False
    yaml.width = 1 << 30
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def move_comments_below(known: CommentedSeq, new: CommentedMap) -> None:
    """Have the comments that stand below the list stand below `new`, which is about to become its last item.

    The library holds them with the last value before them. Comments that are indented as the fields of the last item
    are about that item and stay with it.
    """
    last = known[-1]
    if not isinstance(last, CommentedMap) or not last:
        return
    comment = last.ca.items.get(list(last)[-1], [None] * 4)[2]
    if comment is None:
        return
    beside, _, below = comment.value.partition("\n")
    lines = below.splitlines(keepends=True)
    kept = 0
    for number, line in enumerate(lines, 1):
        if line.strip() and len(line) - len(line.lstrip()) >= last.lc.col:
            kept = number
    if "".join(lines[kept:]).strip():
        comment.value = f"{beside}\n{''.join(lines[:kept])}"
        moved = CommentToken("\n" + "".join(lines[kept:]), CommentMark(0), None)
        new.ca.items[list(new)[-1]] = [None, None, moved, None]
