"""What searches by words, arranged answers and text options of collections are in messages."""

from __future__ import annotations

from typing import Any

from pykyro.model.legs import LEGS, Legs
from pykyro.model.words import WordsConfig
from pykyro.proto import kyrodb_pb2 as pb


def leg_fields(legs: Legs | None) -> dict[str, Any]:
    """The fields of a SearchRequest that say so."""
    if legs is None:
        return {}
    fields: dict[str, Any] = {}
    if legs.arrangement is not None:
        grouping, mmr = legs.arrangement.grouping, legs.arrangement.mmr
        if grouping is not None:
            fields["grouping"] = pb.Grouping(key=grouping.key, size=grouping.size)
        if mmr is not None:
            fields["mmr"] = pb.Mmr(relevance=mmr.relevance, candidates=mmr.candidates)
    if legs.text is None:
        return fields
    fields |= {"text": legs.text, "highlight": legs.highlight, "explain": legs.explain}
    if legs.by_vector:
        weights = dict(zip(LEGS, legs.weights, strict=True))
        depths = dict(zip(LEGS, legs.depths, strict=True)) if legs.depths else None
        fields["fusion"] = pb.Fusion(method=legs.fuse, weights=weights, depth=legs.depth, depths=depths)
    return fields


def text_options(words: WordsConfig | None) -> pb.TextOptions | None:
    """The message of text options; None where there are none."""
    if words is None:
        return None
    return pb.TextOptions(
        keys=words.keys, language=words.language, k1=words.k1, b=words.b, stop_words=words.stop_words
    )
