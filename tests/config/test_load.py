"""Which source wins, how text becomes values, and what is said about how keys were given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pykyro.config import Loaded, Overrides, Settings, load_settings
from pykyro.model.errors import ConfigError


def faults(path: Path | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ)
    return caught.value.faults


def loaded(**environ: str) -> Loaded:
    return load_settings(None, environ)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_nothing_given_is_the_defaults() -> None:
    assert load_settings(None, {}) == Loaded(Settings(), None, (), ())


def test_each_source_wins_over_the_next(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", "server: {port: 1}\npersistence: {data_dir: file}\nhnsw: {m: 20}\n")
    environ = {"KYRODB__SERVER__PORT": "2", "KYRODB__PERSISTENCE__DATA_DIR": "section"}
    direct = environ | {"KYRODB_PORT": "3", "KYRODB_DATA_DIR": "direct"}
    overrides = Overrides(port=4, data_dir=Path("command"))
    expected = [
        (load_settings(None, {}), (50051, "data")),
        (load_settings(file, {}), (1, "file")),
        (load_settings(file, environ), (2, "section")),
        (load_settings(file, direct), (3, "direct")),
        (load_settings(file, direct, overrides), (4, "command")),
    ]
    for found, (port, data_dir) in expected:
        assert (found.settings.server.port, found.settings.persistence.data_dir) == (port, Path(data_dir))
    assert all(found.settings.hnsw.m == 20 for found, _ in expected[1:])


def test_file_is_named_by_the_environment_unless_by_the_command_line(tmp_path: Path) -> None:
    one = write(tmp_path / "one.yaml", "server: {port: 1}")
    two = write(tmp_path / "two.toml", "server.port = 2")
    assert load_settings(None, {"KYRODB_CONFIG": str(one)}).path == one
    assert load_settings(two, {"KYRODB_CONFIG": str(one)}).settings.server.port == 2
    assert load_settings(None, {"KYRODB_CONFIG": ""}).path is None


def test_file_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "absent.yaml"
    assert faults(path, {}) == (f"{path}: configuration file does not exist",)
    assert faults(None, {"KYRODB_CONFIG": str(path)}) == (f"{path}: configuration file does not exist",)


def test_faulty_value_does_not_matter_where_a_better_source_wins(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", "server: {port: 0}")
    assert faults(file, {}) == (f"server.port = 0 ({file} line 1): must be an integer from 1 to 65535",)
    assert load_settings(file, {}, Overrides(port=9)).settings.server.port == 9


def test_environment_text_becomes_what_the_key_wants() -> None:
    settings = loaded(
        KYRODB__PERSISTENCE__DATA_DIR="123",
        KYRODB__AUTH__API_KEYS_FILE="true",
        KYRODB__HNSW__M="24",
        KYRODB__SLO__P99_LATENCY_MS="25",
        KYRODB__SLO__ERROR_RATE="1e-2",
        KYRODB__SERVER__TLS__REQUIRE_CLIENT_CERT="False",
        KYRODB__CACHE__QUERY_CACHE_MODE="off",
        KYRODB__CACHE__ADAPTIVE_ADMISSION__MAX_BIAS="0.5",
        KYRODB__ENVIRONMENT__TYPE=" Benchmark ",
    ).settings
    assert settings.persistence.data_dir == Path("123")
    assert settings.auth.api_keys_file == Path("true")
    assert settings.hnsw.m == 24
    assert settings.slo.p99_latency_ms == 25.0
    assert settings.slo.error_rate == 0.01
    assert settings.server.tls.require_client_cert is False
    assert settings.cache.query_cache_mode == "off"
    assert settings.cache.adaptive_admission.max_bias == 0.5
    assert settings.environment.type == "benchmark"


def test_environment_names_are_case_insensitive_and_meet_once() -> None:
    assert loaded(kyrodb__server__Port="7").settings.server.port == 7
    assert faults(None, {"KYRODB__SERVER__PORT": "7", "kyrodb__server__port": "8"}) == (
        "server.port is given twice: KYRODB__SERVER__PORT and kyrodb__server__port",
    )


def test_empty_variable_makes_an_optional_key_null_and_a_direct_one_absent(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", "server: {http_port: 8080, port: 9000}")
    environ = {"KYRODB__SERVER__HTTP_PORT": "", "KYRODB_PORT": "", "KYRODB_DATA_DIR": ""}
    server = load_settings(file, environ).settings.server
    assert (server.http_port, server.port) == (None, 9000)
    assert faults(None, {"KYRODB__SERVER__PORT": ""}) == (
        "server.port = '' (KYRODB__SERVER__PORT): must be an integer from 1 to 65535",
    )


@pytest.mark.parametrize(
    "name", ["KYRODB_CONFIGS", "KYRODB_PORTS", "KYRODB", "KYRODBX__SERVER__PORT", "PATH"]
)
def test_other_variables_are_not_ours(name: str) -> None:
    assert load_settings(None, {name: "x"}).settings == Settings()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("KYRODB__CONFIG", "config"),
        ("KYRODB__", ""),
        ("KYRODB__SERVER__", "server."),
        ("KYRODB__SERVER__PORT__X", "server.port.x"),
        ("KYRODB__SERVER_PORT", "server_port"),
    ],
)
def test_unknown_variable_is_refused_by_name(name: str, key: str) -> None:
    (fault,) = faults(None, {name: "1"})
    assert fault.startswith(f"unknown key '{key}' ({name})")


def test_variable_that_names_a_section_is_refused() -> None:
    assert faults(None, {"KYRODB__SERVER__TLS": "true"}) == (
        "server.tls = 'true' (KYRODB__SERVER__TLS): is a section and must hold keys",
    )


def test_port_variable_of_a_kubernetes_service_is_explained() -> None:
    (fault,) = faults(None, {"KYRODB_PORT": "tcp://10.0.0.1:50051"})
    assert "enableServiceLinks: false" in fault


def test_old_name_works_alone_and_is_reported(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", "persistence:\n  snapshot_interval_inserts: 77\n")
    found = load_settings(file, {})
    assert found.settings.persistence.snapshot_interval_mutations == 77
    assert found.warnings == (
        f"persistence.snapshot_interval_inserts ({file} line 2) is the old name of "
        "persistence.snapshot_interval_mutations",
    )
    better = load_settings(file, {"KYRODB__PERSISTENCE__SNAPSHOT_INTERVAL_MUTATIONS": "78"})
    assert (better.settings.persistence.snapshot_interval_mutations, better.warnings) == (78, ())


@pytest.mark.parametrize("order", ["inserts mutations", "mutations inserts"])
def test_old_name_beside_the_new_one_is_refused(tmp_path: Path, order: str) -> None:
    first, second = order.split()
    text = f"persistence:\n  snapshot_interval_{first}: 1\n  snapshot_interval_{second}: 2\n"
    (fault,) = faults(write(tmp_path / "c.yaml", text), {})
    assert fault.startswith(
        "persistence.snapshot_interval_inserts is the old name of persistence.snapshot_interval_mutations: "
        "set one of them, not both"
    )


def test_keys_without_effect_are_reported_when_set() -> None:
    found = loaded(
        KYRODB__HNSW__DISABLE_NORMALIZATION_CHECK="true",
        KYRODB__CACHE__SEMANTIC__LOW_CONFIDENCE_THRESHOLD="0.1",
    )
    assert set(found.compatibility_keys) == {
        "hnsw.disable_normalization_check",
        "cache.semantic.low_confidence_threshold",
    }
    assert len(found.warnings) == 2
    assert all("accepted for compatibility and has no effect" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("environ", "fragment"),
    [
        ({"KYRODB__HNSW__EF_SEARCH": "201"}, "hnsw.ef_search = 201 is above hnsw.ef_construction (200)"),
        ({"KYRODB__SERVER__TLS__REQUIRE_CLIENT_CERT": "true"}, "server.tls.enabled is false"),
        ({"KYRODB__BACKUP__RETENTION__KEEP_DAILY": "7"}, "backup.retention has no effect"),
        ({"KYRODB__BACKUP__DIR": "s3://bucket/a"}, "backup.dir = s3://bucket/a has no effect"),
    ],
)
def test_legal_settings_that_are_hardly_meant_are_reported(environ: dict[str, str], fragment: str) -> None:
    (warning,) = load_settings(None, environ).warnings
    assert fragment in warning
    assert load_settings(None, {"KYRODB__HNSW__EF_SEARCH": "200"}).warnings == ()


def test_the_transport_of_an_earlier_version_is_accepted_and_said_once() -> None:
    (warning,) = loaded(KYRODB__SERVER__TRANSPORT="native").warnings
    assert warning == "server.transport = native is no more: h2corn serves, which took its place"
