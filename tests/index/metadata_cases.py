"""Metadata and filters at random, from few keys and many awkward values, so that they meet."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range

NUMBERS = """0 -0 +0 0.0 -0.0 1 01 1.0 +1 1. .5 0.5 5e-1 1e0 10 9 -1 1e5 100000 1E5 1e9999 -1e9999 1e-9999 inf
-INF Infinity nan NaN -nan 9007199254740993 9007199254740992 2024"""
TEXTS = """a A ab b é e\u0301 ÿ \ue000 \uffff 😀 𝄞 😀a 1_0 0x10 １ ٣ . + - e5 1e 1e+ --1 infinit nano 1.2.3 2024-01-01
2024-06-30"""
AWKWARD = [*re.findall(r"\S+", NUMBERS + " " + TEXTS), "", " ", "\0", "\x7f", " 1", "1 "]
KEYS = ["", "a", "b", "год", "😀", "__tenant_idx__"]

keys = st.sampled_from(KEYS)
values = (
    st.sampled_from(AWKWARD) | st.text(max_size=3) | st.integers(-20, 20).map(str) | st.floats().map(repr)
)
metadata = st.dictionaries(keys, values, max_size=4)
operators = st.sampled_from(["gte", "lte", "gt", "lt"])
leaves: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Exact, keys, values),
    st.builds(Range, keys, st.none() | operators, values),
    st.builds(In, keys, st.lists(values, max_size=40).map(tuple)),
    st.just(Anything()),
    st.just(Not(None)),
)


def combined(
    parts: st.SearchStrategy[Filter], *, parts_max: int, leaves_max: int
) -> st.SearchStrategy[Filter]:
    """Filters made of these by and, or and not."""
    return st.recursive(
        parts,
        lambda inner: st.one_of(
            st.builds(And, st.lists(inner, max_size=parts_max).map(tuple)),
            st.builds(Or, st.lists(inner, max_size=parts_max).map(tuple)),
            st.builds(Not, inner),
        ),
        max_leaves=leaves_max,
    )


filters = combined(leaves, parts_max=3, leaves_max=6)
