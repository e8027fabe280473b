"""How an answer is arranged: the best documents of each value of a key, or documents that are unlike one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypedDict

from pykyro.model.arguments import bounded_integer
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import GROUP_SIZE_MAX, GROUPED_HITS_MAX, MMR_CANDIDATES_MAX
from pykyro.model.scalars import shown
from pykyro.model.value_order import checked_key
from pykyro.model.words import bounded_float

RELEVANCE: Final = 0.5
_OPTIONS: Final = ("relevance", "candidates")


class MmrOptions(TypedDict, total=False):
    """What maximal marginal relevance takes."""

    relevance: float
    """How much the score counts, 0 to 1; the rest is how much a document is unlike those before it. 0.5 unless it is
    said."""
    candidates: int
    """How many of the best documents are chosen from; 0: max(100, 4 k)."""


MmrLike: TypeAlias = float | MmrOptions | Mapping[str, Any]
"""MmrOptions, or the relevance alone."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """The best `size` documents of each value under `key`."""

    key: str
    size: int = 1


@dataclass(frozen=True, slots=True)
class Mmr:
    """`relevance` is the lambda of Carbonell and Goldstein; `candidates` 0 is the database's own number."""

    relevance: float = RELEVANCE
    candidates: int = 0


@dataclass(frozen=True, slots=True)
class Arrangement:
    """One of the two."""

    grouping: Grouping | None = None
    mmr: Mmr | None = None


def checked_arrangement(group_by: object, group_size: object, mmr: object, k: int) -> Arrangement | None:
    """What these arguments of a search for `k` hits or groups ask; None when they ask for nothing. Raises
    InvalidArgument."""
    size = bounded_integer(group_size, "group_size", 0, GROUP_SIZE_MAX)
    if group_by is None or group_by == "":
        if size:
            raise InvalidArgument("group_size is for groups: give group_by too", field="group_size")
        return None if mmr is None else Arrangement(mmr=_checked_mmr(mmr, k))
    if mmr is not None:
        raise InvalidArgument("mmr cannot go together with group_by: leave one of them out", field="mmr")
    grouping = Grouping(checked_key(group_by, "group_by"), size or 1)
    if k * grouping.size > GROUPED_HITS_MAX:
        raise InvalidArgument(
            f"group_size times k must be <= {GROUPED_HITS_MAX}, got {grouping.size} times {k}",
            field="group_size",
        )
    return Arrangement(grouping)


def _checked_mmr(mmr: object, k: int) -> Mmr:
    given = mmr if isinstance(mmr, Mapping) else {"relevance": mmr}
    for name in given:
        if name not in _OPTIONS:
            raise InvalidArgument(
                f"mmr.{name!s:.40} is no option of mmr; the options are {', '.join(_OPTIONS)}", field="mmr"
            )
    relevance = bounded_float(given.get("relevance", RELEVANCE), "mmr.relevance", 0.0, 1.0)
    candidates = bounded_integer(given.get("candidates", 0), "mmr.candidates", 0, MMR_CANDIDATES_MAX)
    if 0 < candidates < k:
        raise InvalidArgument(
            f"mmr.candidates must be >= k = {k}, or 0 for the database's own number, got {shown(candidates)}",
            field="mmr.candidates",
        )
    return Mmr(relevance, candidates)
