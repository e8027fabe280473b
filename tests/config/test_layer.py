"""Names: what is unknown is refused with the key that was meant."""

from __future__ import annotations

import pytest

from pykyro.config.layer import Layer, shown


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("server.prot", "server.port"),
        ("server.Port", "server.port"),
        ("hnsw.ef_serach", "hnsw.ef_search"),
        ("sever", "server"),
        ("chache", "cache"),
        ("sever.http_prt", "server.http_port"),
        ("hnsw.capacity", "cache.capacity"),
        ("port", "server.port"),
        ("cache.adaptive_admision", "cache.adaptive_admission"),
        ("cache.semantic.semantic_similarity_treshold", "cache.semantic.semantic_similarity_threshold"),
        ("persistence.snapshot_interval_insert", "persistence.snapshot_interval_inserts"),
    ],
)
def test_close_name_is_suggested(unknown: str, meant: str) -> None:
    layer = Layer()
    layer.put(unknown, 1, "here")
    suggested = "persistence.snapshot_interval_inserts" if meant.endswith("inserts") else meant
    assert layer.faults == [f"unknown key '{unknown}' (here); did you mean '{suggested}'?"]
    assert layer.entries == {}


@pytest.mark.parametrize("unknown", ["server.zzzz", "cache.semantic.qqqq", "xyz", "", "."])
def test_far_name_is_refused_without_a_guess(unknown: str) -> None:
    layer = Layer()
    layer.put(unknown, 1, "here")
    assert layer.faults == [f"unknown key '{unknown}' (here)"]


def test_tree_is_taken_with_the_source_of_each_key_and_empty_sections_are_no_fault() -> None:
    layer = Layer()
    layer.put_tree(
        {"server": {"port": 1, "tls": None, "x": {"y": 1}}, "hnsw": [1], "cache": None},
        lambda name: f"at {name}",
    )
    assert {name: (entry.value, entry.source) for name, entry in layer.entries.items()} == {
        "server.port": (1, "at server.port")
    }
    assert layer.faults == [
        "unknown key 'server.x' (at server.x)",
        "hnsw = [1] (at hnsw): is a section and must hold keys",
    ]


def test_dotted_key_in_a_file_is_told_to_nest() -> None:
    layer = Layer()
    layer.put_tree({"server.port": 1}, lambda name: "here")
    assert layer.faults == ["unknown key 'server.port' (here), it has a dot; nest it under its section"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), (False, "false"), (3, "3"), (0.5, "0.5"), ("a'b", '"a\'b"')],
)
def test_values_are_shown_as_they_are_written(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000, pytest.param(10**5000, id="huge"), [["x" * 100] * 100] * 100, {"a": {"b": {"c": {}}}}],
)
def test_long_values_are_shown_short(value: object) -> None:
    assert len(shown(value)) <= 120
