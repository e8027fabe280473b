"""A simplified filter matches exactly what the filter matches, and is never longer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.metadata_cases import combined, filters, metadata, operators, values

from pykyro.index.metadata.simplify import simplified
from pykyro.model.filter import And, Exact, Filter, In, Not, Or, Range, matches


def conditions(node: Filter) -> Iterator[Filter]:
    yield node
    match node:
        case And(parts) | Or(parts):
            for part in parts:
                yield from conditions(part)
        case Not(part) if part is not None:
            yield from conditions(part)


ranges = st.builds(Range, st.just("a"), st.none() | operators, values)
"""About one key, so that they meet."""
one_key = st.one_of(
    ranges,
    st.builds(Exact, st.just("a"), values),
    st.builds(In, st.just("a"), st.lists(values, max_size=3).map(tuple)),
)
crowds = combined(one_key, parts_max=8, leaves_max=12)


@settings(max_examples=300)
@given(filters | crowds, st.lists(metadata, max_size=5), st.lists(values, max_size=20))
def test_the_same_documents_match(
    condition: Filter, documents: list[Mapping[str, str]], alone: list[str]
) -> None:
    simple = simplified(condition)
    for document in (*documents, *({"a": value} for value in alone), {}):
        assert matches(simple, document) == matches(condition, document)


@given(filters | crowds)
def test_it_is_no_longer_and_simple_already(condition: Filter) -> None:
    simple = simplified(condition)
    assert len(list(conditions(simple))) <= len(list(conditions(condition)))
    assert simplified(simple) == simple


def test_thousands_of_ranges_come_to_a_few() -> None:
    texts = tuple(Range("t", op, f"x{n}") for n in range(500) for op in ("gte", "lte", "gt", "lt"))
    numbers = tuple(Range("t", op, str(n)) for n in range(500) for op in ("gte", "lte", "gt", "lt"))
    for join in (And, Or):
        assert len(list(conditions(simplified(join(texts + numbers))))) <= 7
        assert len(list(conditions(simplified(join(tuple(map(Not, texts))))))) <= 4


def test_values_of_one_key_come_to_one_list() -> None:
    asked = Or((Exact("a", "1"), In("a", ("2", "1")), Exact("b", "1"), Exact("a", "3")))
    assert simplified(asked) == Or((In("a", ("1", "2", "3")), Exact("b", "1")))
    assert simplified(And((And((Exact("a", "1"),)), Exact("a", "1")))) == Exact("a", "1")
