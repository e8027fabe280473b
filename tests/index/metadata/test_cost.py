"""What a filter costs is known before it runs, by the kinds of its conditions."""

from __future__ import annotations

import pytest

from pykyro.index.metadata.cost import check_cost
from pykyro.index.metadata.metadata_index import FrozenMetadataIndex, MutableMetadataIndex, build_sections
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range
from pykyro.model.limits import FILTER_COST_US_MAX

ROWS = 20_000
DOCUMENTS = [{"id": f"doc-{row}", "n": str(row), "few": str(row % 3)} for row in range(ROWS)]
FROZEN = FrozenMetadataIndex(build_sections(iter(DOCUMENTS), ROWS), ROWS)
MUTABLE = MutableMetadataIndex()
for number, document in enumerate(DOCUMENTS):
    MUTABLE.add(number, document)
INDICES = pytest.mark.parametrize("index", [FROZEN, MUTABLE], ids=["frozen", "mutable"])
Index = FrozenMetadataIndex | MutableMetadataIndex


@INDICES
def test_a_listed_value_is_a_look_up(index: Index) -> None:
    one, many = index.cost_us(Exact("id", "doc-1")), index.cost_us(In("id", tuple(map(str, range(4000)))))
    assert 0 < one < 100
    assert 4000 < many < 100_000


@INDICES
def test_thousands_of_ranges_on_one_key_cost_what_a_few_cost(index: Index) -> None:
    ranges = tuple(Range("id", "gt", f"doc-{row}") for row in range(4090))
    assert index.cost_us(Or(ranges)) < 1000
    assert list(index.match(And(ranges))) == [row for row, d in enumerate(DOCUMENTS) if d["id"] > "doc-999"]


@INDICES
def test_what_cannot_be_joined_is_added_up(index: Index) -> None:
    pairs = [And((Range("id", "gt", f"{row}"), Range("few", "lt", f"{row}"))) for row in range(1000)]
    one = index.cost_us(pairs[0])
    assert 900 * one < index.cost_us(Or(tuple(pairs))) < 1100 * one + 1000


@INDICES
@pytest.mark.parametrize(
    "condition", [Anything(), Exact("absent", "x"), Not(None), Or(()), Not(Exact("few", "1"))]
)
def test_little_costs_little(index: Index, condition: Filter) -> None:
    assert 0 < index.cost_us(condition) < 200


def test_a_text_bound_among_numbers_looks_at_all_of_them() -> None:
    def cost_of(bound: str) -> int:
        return FROZEN.cost_us(
            Or(tuple(And((Range("n", "gt", bound), Not(Exact("few", str(n))))) for n in range(99)))
        )

    assert cost_of("5x") > cost_of("5") + 99 * 20


def test_too_much_work_is_refused_by_its_figure_and_with_a_way_out() -> None:
    check_cost(FILTER_COST_US_MAX, 100)
    with pytest.raises(
        InvalidArgument, match=r"about 3.0 s of a processor on 100 documents; .* name fewer keys"
    ):
        check_cost(3_000_000, 100)


def test_long_work_pauses() -> None:
    pauses = [0]

    def pause() -> None:
        pauses[0] += 1

    forgetful = FrozenMetadataIndex(build_sections(iter(DOCUMENTS), ROWS), ROWS, cache_bytes=0)
    forgetful.match(Exact("id", "doc-1"), pause)
    assert pauses[0] < 5
    forgetful.match(In("id", tuple(f"doc-{row}" for row in range(4000))), pause)
    assert pauses[0] > 10
    before = pauses[0]
    forgetful.match(
        Or(tuple(And((Range("id", "gte", f"doc-{n}"), Range("id", "lt", f"doc-{n}5"))) for n in range(500))),
        pause,
    )
    assert pauses[0] - before >= 1000
