"""How the words of documents are found: which metadata has them, how they are cut out and folded, how they count.

A collection has these options from its creation. The text of a document is what stands under `keys`, as far as it is
text; values of other types have no words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypedDict

from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.model.languages import LANGUAGES, SIMPLE
from pykyro.model.limits import METADATA_KEY_BYTES_MAX, WORD_KEYS_MAX
from pykyro.model.scalars import require_utf8, shown
from pykyro.model.types import RESERVED_KEYS

WITH_STOP_WORDS: Final = ("english",)
ANALYSER: Final = 1
"""Raised when the same text would give other words: index/words/analyser.py."""
K1: Final = 1.2
B: Final = 0.75


class TextOptions(TypedDict, total=False):
    """The options of words as callers give them; only `keys` has to be there."""

    keys: str | Sequence[str]
    """The metadata keys that have the text."""
    language: str
    """One of LANGUAGES; "simple" unless it is said."""
    k1: float
    """How soon a word that is there often counts no more: 0 to 100."""
    b: float
    """How much the length of a document counts: 0 to 1."""
    stop_words: bool
    """True: the most frequent words are left out."""


TextLike: TypeAlias = str | Sequence[str] | TextOptions | Mapping[str, Any]
"""TextOptions, or the keys alone."""


@dataclass(frozen=True, slots=True)
class WordsConfig:
    """The options of the words of a collection."""

    keys: tuple[str, ...]
    language: str = SIMPLE
    k1: float = K1
    b: float = B
    stop_words: bool = False
    analyser: int = ANALYSER


def checked_words(text: object, field: str = "text") -> WordsConfig | None:
    """The options that an argument `text` says; None says there are none. Raises InvalidArgument naming the bad
    one."""
    if text is None:
        return None
    given = text if isinstance(text, Mapping) else {"keys": text}
    known = tuple(TextOptions.__annotations__)
    for name in given:
        if name not in known:
            raise InvalidArgument(
                f"{field}.{name!s:.40} is not an option of words; the options are {', '.join(known)}",
                field=field,
            )
    language, stop_words = given.get("language", SIMPLE), given.get("stop_words", False)
    if language not in LANGUAGES:
        raise InvalidArgument(
            f"{field}.language must be one of {', '.join(LANGUAGES)}, got {language!r:.60}",
            field=f"{field}.language",
        )
    if not isinstance(stop_words, bool):
        raise InvalidArgument(
            f"{field}.stop_words must be True or False, got {shown(stop_words)}", field=f"{field}.stop_words"
        )
    if stop_words and language not in WITH_STOP_WORDS:
        raise InvalidArgument(
            f"{field}.stop_words: there is a list for {', '.join(WITH_STOP_WORDS)} alone, got language {language!r}",
            field=f"{field}.stop_words",
        )
    return WordsConfig(
        _checked_keys(given.get("keys"), f"{field}.keys"),
        str(language),
        bounded_float(given.get("k1", K1), f"{field}.k1", 0.0, 100.0),
        bounded_float(given.get("b", B), f"{field}.b", 0.0, 1.0),
        stop_words,
    )


def listed_keys(text: str) -> list[str]:
    """The keys in a text, where commas are between them."""
    return [key.strip() for key in text.split(",")]


def _checked_keys(keys: object, field: str) -> tuple[str, ...]:
    listed = [keys] if isinstance(keys, str) else keys
    if not isinstance(listed, Sequence) or isinstance(listed, bytes) or not 0 < len(listed) <= WORD_KEYS_MAX:
        raise InvalidArgument(
            f"{field} must be 1 to {WORD_KEYS_MAX} metadata keys, got {shown(keys)}", field=field
        )
    for key in listed:
        if not isinstance(key, str) or not key or len(key.encode(errors="replace")) > METADATA_KEY_BYTES_MAX:
            raise InvalidArgument(
                f"{field} must be metadata keys of 1 to {METADATA_KEY_BYTES_MAX} bytes, got {shown(key)}",
                field=field,
            )
        require_utf8(key, field)
        if key in RESERVED_KEYS:
            raise InvalidArgument(f"{field} names {key!r}, which the database keeps for itself", field=field)
    if len(set(listed)) < len(listed):
        raise InvalidArgument(f"{field} names a key twice: {', '.join(listed)[:200]}", field=field)
    return tuple(listed)


def bounded_float(value: object, field: str, least: float, most: float) -> float:
    """`value` as a float between the two. Raises InvalidArgument."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or not least <= value <= most
    ):
        raise InvalidArgument(
            f"{field} must be a number from {least:g} to {most:g}, got {shown(value)}", field=field
        )
    return float(value)


def no_words(name: str = "text") -> FailedPrecondition:
    """What a search by words meets in a collection that has none."""
    return FailedPrecondition(
        f"{name}: this collection keeps no words, as it was created without text options. Create another one with "
        'text={"keys": [...]}, and copy the documents into it: kyrodb export, then import'
    )


def shown_words(config: WordsConfig | None) -> str:
    """The options in a few words, for messages."""
    if config is None:
        return "no text options"
    return (
        f"text keys {', '.join(config.keys)}, language {config.language}, k1 {config.k1:g}, b {config.b:g}"
        f"{', stop words' if config.stop_words else ''}"
    )
