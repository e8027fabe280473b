"""The best documents of each of the best values of a key.

One search, deep enough for most, is put into groups. Where it has too few:

* by vector or by words, other values are looked for among the documents that have none of those found, and more
  documents of a value among those that have it. Each of these searches finds something or ends the matter, so k
  groups come back whenever k match, at no more than about 2 k searches;
* fused, a narrower search would give other ranks, so the same search goes deeper, up to GROUP_DEPTH_MAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from pykyro.index.metadata.simplify import simplified
from pykyro.model.arrangement import Grouping
from pykyro.model.filter import And, Filter, Not
from pykyro.model.limits import GROUP_DEPTH_MAX
from pykyro.model.metadata_wire import TEXT_ID_TAG, decode_metadata, text_id_alone, text_id_in
from pykyro.model.requests import LegHit, ScoredDocument, SearchRequest, SearchResult
from pykyro.model.tokens import operand_of
from pykyro.model.typed_filter import Among, Present
from pykyro.model.types import AnyId
from pykyro.model.value_order import facet_tokens, token_value
from pykyro.model.values import text_form

Ask: TypeAlias = Callable[[SearchRequest], SearchResult]
"""The answer to a search that is not arranged."""

_DEPTH_MIN: Final = 100
_OVER: Final = 4
"""Times as many documents as an answer may have."""
_WIDER: Final = 4
_WIDER_FUSED: Final = 8
_NULL: Final = "n"
_NULL_OPERAND: Final = "nnull"


def first_depth(k: int, size: int) -> int:
    """How many documents the first search for k groups of this size looks at."""
    return min(GROUP_DEPTH_MAX, max(_DEPTH_MIN, _OVER * k * size))


class GroupSearch:
    """One search for groups. `is_fused`: its scores depend on which documents may be found."""

    def __init__(self, request: SearchRequest, grouping: Grouping, ask: Ask, *, is_fused: bool) -> None:
        """`request` is what `ask` is asked, narrower or wider."""
        self._request = replace(request, include_metadata=True)
        self._shows_metadata = request.include_metadata
        self._key = grouping.key
        self._size = grouping.size
        self._ask = ask
        self._is_fused = is_fused
        self._groups: dict[str, list[ScoredDocument]] = {}
        """By token."""
        self._whole: set[str] = set()
        """Tokens whose documents are all known."""
        self._answers: list[SearchResult] = []
        self._is_certain = True

    @property
    def searches(self) -> int:
        """How many the answer is made of."""
        return len(self._answers)

    def answer(self) -> SearchResult:
        """The groups as one answer. Raises as `ask`."""
        depth = first_depth(self._request.k, self._size)
        has_all = self._look(depth, None)
        if not has_all and self._is_fused:
            self._go_deeper(depth)
        elif not has_all:
            self._find_others(depth)
            self._fill()
        return self._result()

    # --- steps ------------------------------------------------------------------------------------

    def _look(self, depth: int, narrower: Filter | None) -> bool:
        """Put the best documents into groups; whether these are all there are."""
        hits = self._hits(depth, narrower)
        found: dict[str, list[ScoredDocument]] = {}
        for hit in hits:
            token = self._token(hit)
            if token is not None:
                members = found.setdefault(token, [])
                if len(members) < self._size:
                    members.append(hit)
        self._groups |= found
        if len(hits) < depth:
            self._whole |= found.keys()
        return len(hits) < depth

    def _go_deeper(self, depth: int) -> None:
        """Ask the same for more, until there are enough groups of enough documents. The last answer has all that
        those before it had, so it stands for itself, and no other has to show its position."""
        while not self._is_enough():
            if depth >= GROUP_DEPTH_MAX:
                self._is_certain = False
                return
            depth = min(_WIDER_FUSED * depth, GROUP_DEPTH_MAX)
            self._groups.clear()
            self._answers.clear()
            if self._look(depth, None):
                return

    def _find_others(self, depth: int) -> None:
        """Look for values that are not found yet, until there are enough."""
        while len(self._groups) < self._request.k:
            known = len(self._groups)
            operands = (_NULL_OPERAND, *map(_operand, self._groups))
            others = And((Present(self._key), Not(Among(self._key, operands, strict=True))))
            if self._look(depth, others):
                return
            if len(self._groups) == known:
                # All of them have several values.
                if depth >= GROUP_DEPTH_MAX:
                    self._is_certain = False
                    return
                depth = min(_WIDER * depth, GROUP_DEPTH_MAX)

    def _fill(self) -> None:
        """Find the documents that groups of the answer lack."""
        for token in self._best_tokens():
            depth = self._size
            while len(self._groups[token]) < self._size and token not in self._whole:
                if self._look(depth, Among(self._key, (_operand(token),), strict=True)):
                    break
                if depth >= GROUP_DEPTH_MAX:
                    self._is_certain = False
                    break
                depth = min(_WIDER * depth, GROUP_DEPTH_MAX)

    def _result(self) -> SearchResult:
        result, hits = self._answers[0], list[ScoredDocument]()
        for token in self._best_tokens():
            group = text_form(token_value(token), "group")
            hits += [self._grouped(hit, group) for hit in self._groups[token]]
        result.hits, result.grouped = hits, True
        result.held = [answer.held for answer in self._answers if answer.held is not None]
        result.exact = self._is_certain and all(answer.exact for answer in self._answers)
        result.tiers = result.tiers.union(*(answer.tiers for answer in self._answers))
        result.left_out = result.left_out.union(*(answer.left_out for answer in self._answers))
        notes = dict.fromkeys(answer.note for answer in self._answers if answer.note)
        if not self._is_certain:
            notes[
                f"there may be more documents or groups of {self._key[:40]!r}: the best {GROUP_DEPTH_MAX} documents "
                "were looked at"
            ] = None
        result.note = "; ".join(notes)
        result.plan += f"; {len(self._groups)} groups of {self._key[:40]!r} by {self.searches} searches"
        return result

    # --- one search, one group --------------------------------------------------------------------

    def _hits(self, depth: int, narrower: Filter | None) -> Sequence[ScoredDocument]:
        request = replace(self._request, k=depth)
        if narrower is not None:
            own = request.filter
            request.filter = simplified(narrower if own is None else And((own, narrower)))
        answer = self._ask(request)
        self._answers.append(answer)
        return answer.hits

    def _is_enough(self) -> bool:
        best = self._best_tokens()
        return len(best) == self._request.k and all(len(self._groups[token]) == self._size for token in best)

    def _best_tokens(self) -> list[str]:
        tokens = list(self._groups)
        if self.searches > 1:
            tokens.sort(key=lambda token: _place(self._groups[token][0]))
        return tokens[: self._request.k]

    def _token(self, hit: ScoredDocument) -> str | None:
        """The token of the value that a document is grouped by; None when it is in no group."""
        tokens = facet_tokens(decode_metadata(hit.metadata_wire), self._key)
        if len(tokens) != 1:
            return None
        (token,) = tokens
        return None if token[0] == _NULL else token

    def _grouped(self, hit: ScoredDocument, group: str) -> LegHit:
        wire = hit.metadata_wire if self._shows_metadata else text_id_alone(hit.metadata_wire)
        grouped = LegHit(hit.doc_id, hit.score, hit.vector, wire, hit.position, group=group)
        if isinstance(hit, LegHit):
            grouped.legs, grouped.highlights = hit.legs, hit.highlights
        return grouped


def _operand(token: str) -> str:
    return token if token[0] == "t" else operand_of(text_form(token_value(token), "group"))


def _place(hit: ScoredDocument) -> tuple[float, AnyId]:
    """Where a hit stands in an answer. The ids of all are of one type."""
    wire = hit.metadata_wire
    return -hit.score, text_id_in(wire) if wire.startswith(TEXT_ID_TAG) else hit.doc_id
