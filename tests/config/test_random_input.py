"""Whatever bytes a file or a variable holds, loading answers with settings or with ConfigError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykyro.config import KEYS, Overrides, Settings, load_settings
from pykyro.config.keys import FORMER_NAMES, SECTIONS
from pykyro.model.errors import ConfigError

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.sampled_from([*KEYS, *SECTIONS, *FORMER_NAMES])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["0", "off", "1e9"])
)
WORDS = (
    st.sampled_from(sorted({word for name in (*KEYS, *FORMER_NAMES) for word in name.split(".")})) | st.text()
)


def attempt(path: Path | None, environ: dict[str, str], overrides: Overrides) -> None:
    try:
        outcome: Settings | tuple[str, ...] = load_settings(path, environ, overrides).settings
    except ConfigError as error:
        outcome = error.faults
    assert isinstance(outcome, Settings) or (outcome and all(outcome))


@QUICK
@given(
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
@pytest.mark.parametrize("extension", ["yaml", "toml", "json"])
def test_random_bytes_in_a_file(tmp_path: Path, extension: str, content: bytes) -> None:
    path = tmp_path / f"c.{extension}"
    path.write_bytes(content)
    attempt(path, {}, Overrides())


@QUICK
@given(
    tree=st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5)
    )
)
@pytest.mark.parametrize("extension", ["yaml", "json"])
def test_random_trees_in_a_file(tmp_path: Path, extension: str, tree: Any) -> None:
    path = tmp_path / f"c.{extension}"
    path.write_text(json.dumps(tree) if extension == "json" else yaml.safe_dump(tree), "utf-8")
    attempt(path, {}, Overrides())


@QUICK
@given(
    variables=st.dictionaries(
        NAMES.map(lambda name: "KYRODB__" + name.upper().replace(".", "__"))
        | st.text(max_size=30).map(lambda text: "KYRODB__" + text)
        | st.sampled_from(["KYRODB_PORT", "KYRODB_DATA_DIR", "KYRODB_CONFIG"]),
        SCALARS.map(str) | st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape")),
        max_size=6,
    ),
    port=st.none() | st.integers(),
    data_dir=st.none() | st.text().map(Path),
)
def test_random_variables_and_options(
    variables: dict[str, str], port: int | None, data_dir: Path | None
) -> None:
    attempt(None, variables, Overrides(port, data_dir))
