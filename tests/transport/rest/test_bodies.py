"""JSON is read strictly, whichever of the two readers reads it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.model.errors import InvalidArgument
from pykyro.transport.rest.bodies import lines_of, parse_json
from pykyro.transport.rest.declare import holds_nothing

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=30,
)


@given(VALUES)
def test_what_is_json_is_read_exactly(value: Any) -> None:
    read = parse_json(json.dumps(value).encode())
    assert read == value
    assert repr(read) == repr(value)  # 1 and 1.0 and True are equal, and not the same


@given(st.text(st.sampled_from('{}[]:,"a1e9+-. ue\\d8'), max_size=20))
def test_two_readers_agree_on_what_is_json(text: str) -> None:
    try:
        tree = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    except ValueError:
        with pytest.raises(InvalidArgument):
            parse_json(text.encode())
        return
    try:
        read = parse_json(text.encode())
    except InvalidArgument as fault:
        refused = str(fault)
    else:
        assert repr(read) == repr(tree)
        return
    assert any(word in refused for word in ("twice", "too large", "surrogate"))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}', '[{"a":{"b":1,"b":2}}]', '[1,{"a":1,"a":2}]', '{"a:":1,"a:":2}', '{"x":"::","a":1,"a":2}',
        "1e999", "[1e999]", "[1,1e999]", "[1,[1e999]]", '{"a":-1e400}', '["a",1e999]', "[[[[1,[2,[-1e999]]]]]]",
        "NaN", "[Infinity]", "1" * 5000, '"\\ud800"', '{"\\udfff":1}', "", " ", "[1,]", "{'a':1}", "\ufeff{}",
    ],
)  # fmt: skip
def test_what_readers_make_something_of_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="the line"):
        parse_json(text.encode(), "the line")


def test_numbers_keep_their_type() -> None:
    read = parse_json(b"[18446744073709551615,1.0,1e2,-0.0,-9223372036854775808]")
    assert list(map(type, read)) == [int, float, float, float, int]
    assert math.copysign(1, read[3]) == -1


@given(st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")), min_size=1), st.data())
def test_lines_are_the_same_however_they_come(lines: list[bytes], data: st.DataObject) -> None:
    import asyncio
    from collections.abc import AsyncIterator

    body = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)))))

    async def chunks() -> AsyncIterator[bytes]:
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            if start < end:
                yield body[start:end]

    async def gathered() -> list[bytes]:
        return [line async for some in lines_of(chunks(), holds_nothing) for line in some]

    found = asyncio.run(gathered())
    assert found == (lines if body and lines[-1] else lines[:-1])
