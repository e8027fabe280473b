"""The key file: what it may say, what is refused, and in which words."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.tenancy.keys import CANARY, entry, key_of, text_of, write_keys

from pykyro.config import SAMPLE_KEY
from pykyro.model.errors import ConfigError
from pykyro.tenancy import key_document
from pykyro.tenancy.api_keys import ApiKey, digest_of
from pykyro.tenancy.key_file import KeyFile, check_protection, parse_key_file, read_key_file

PATH = Path("keys.yaml")
ROOT = Path(__file__).resolve().parents[2]


def parse(text: str) -> KeyFile:
    return parse_key_file(text, PATH, only_loopback=False)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        parse(text)
    return str(refused.value)


def test_an_entry_is_read_with_its_defaults() -> None:
    (key,) = parse(text_of(entry())).keys
    assert key == ApiKey(
        digest_of(key_of("acme")), "acme", "The acme company", 1000, 0, True, False, "", clear=True
    )


def test_an_entry_is_read_whole() -> None:
    fields = entry(
        "a_b",
        key=None,
        key_hash="sha256:" + digest_of(key_of("a_b")).hex(),
        max_qps=7,
        enabled="FALSE",
        is_admin="True",
        created_at="2025-06-01T12:00:00.5+02:00",
        note="whatever",
        roles="[a, {b: c}]",
    )
    file = parse(text_of(fields))
    assert file.keys == [
        ApiKey(
            digest_of(key_of("a_b")),
            "a_b",
            "The a_b company",
            1000,
            7,
            False,
            True,
            "2025-06-01T12:00:00.5+02:00",
        )
    ]
    assert file.warnings == []


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
def test_both_parsers_read_the_same(loader: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_document, "_LOADER", loader)
    text = "# ü\nother: {a: [1]}\n" + text_of(entry("no", tenant_name="'it''s'"), entry("b", note="[1, 2]"))
    first, second = key_document.entries(text)
    assert first.fields["max_vectors"].text == "1000"
    assert [(entry.number, entry.line) for entry in (first, second)] == [(1, 4), (2, 9)]
    assert first.fields["tenant_name"].text == "it's"
    assert [first.fields[name].plain for name in ("tenant_id", "tenant_name")] == [True, False]
    assert [key.tenant_id for key in parse(text).keys] == ["no", "b"]


def test_json_is_read_too() -> None:
    text = '{"api_keys": [{"key": "%s", "tenant_id": "acme", "tenant_name": "A", "max_vectors": 1, "enabled": true}]}'
    assert [key.tenant_id for key in parse(text % key_of("acme")).keys] == ["acme"]


@pytest.mark.parametrize("text", ["api_keys: []", "api_keys:", "api_keys: null\n", "api_keys: ~"])
def test_a_file_may_hold_no_key(text: str) -> None:
    assert parse(text).keys == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"key": None}, "needs either key or key_hash"),
        ({"key_hash": "sha256:" + "0" * 64}, "needs either key or key_hash, and has both"),
        ({"key": None, "key_hash": "md5:0"}, "key_hash must read sha256:"),
        ({"tenant_id": None}, "tenant_id is missing or empty"),
        ({"tenant_id": "null"}, "tenant_id is missing or empty"),
        ({"tenant_id": "a-b"}, "tenant_id 'a-b' must be"),
        ({"tenant_name": "''"}, "tenant_name is missing or empty"),
        ({"max_vectors": None}, "max_vectors is missing"),
        ({"max_vectors": 0}, "max_vectors must be a whole number from 1 to 18446744073709551615"),
        ({"max_vectors": -1}, "max_vectors must be"),
        ({"max_vectors": 1.5}, "max_vectors must be"),
        ({"max_vectors": "true"}, "max_vectors must be"),
        ({"max_vectors": "'1'"}, "max_vectors must be"),
        ({"max_vectors": 2**64}, "max_vectors must be"),
        ({"max_qps": 2**32}, "max_qps must be a whole number from 0 to 4294967295"),
        ({"enabled": None}, "enabled is missing"),
        ({"enabled": "yes"}, "enabled must be true or false"),
        ({"enabled": "'true'"}, "enabled must be true or false"),
        ({"enabled": 1}, "enabled must be true or false"),
        ({"is_admin": "on"}, "is_admin must be true or false"),
        ({"created_at": "yesterday"}, "created_at 'yesterday' must be a time"),
        ({"created_at": "2025-06-01"}, "RFC 3339"),
        ({"created_at": "2025-13-01T00:00:00Z"}, "RFC 3339"),
        ({"created_at": "2025-06-01T12:00:00"}, "RFC 3339"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, object], says: str) -> None:
    message = refusal(text_of(entry("other"), entry() | fields))
    assert "keys.yaml: api_keys[2] (line 7): " in message
    assert says in message


def test_all_faults_come_at_once() -> None:
    message = refusal(text_of(entry(max_vectors=0, enabled="maybe"), entry("b", tenant_name=None)))
    assert [line.split(": ")[2] for line in message.splitlines()] == [
        "api_keys[1] (line 2)",
        "api_keys[1] (line 2)",
        "api_keys[2] (line 7)",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no list 'api_keys'"),
        ("# nothing\n", "has no list 'api_keys'"),
        ("keys: []", "has no list 'api_keys'"),
        ("- a", "must be a mapping"),
        ("api_keys: {}", "must be a list, at line 1"),
        ("api_keys: word", "must be a list, at line 1"),
        ("api_keys:\n  - word", "api_keys[1] (line 2) must be a mapping"),
        ("api_keys: []\napi_keys: []", "given twice, again at line 2"),
        ("api_keys: []\n---\na: b", "second document, which starts at line 2"),
        ("api_keys:\n  - a: 1\n    a: 2", "a field is given twice"),
        ("api_keys:\n  - [a]: 1", "a field's name must be a word"),
        ("x: &x y\napi_keys:\n  - tenant_id: *x", "aliases are not supported"),
        ("api_keys:\n  - {", "not valid YAML at line"),
        ("api_keys: \x00", "not valid YAML"),
    ],
)
def test_a_text_that_is_no_key_file_is_refused(text: str, says: str) -> None:
    assert says in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        f'api_keys:\n  - key: "kyro_acme_{CANARY}',
        f"api_keys:\n  - key: kyro_acme_{CANARY}: x",
        f"api_keys:\n  - *kyro_acme_{CANARY}",
        f"api_keys:\n  - key: !!python/object:{CANARY} x",
        f"api_keys:\n  - kyro_acme_{CANARY}",
        f"api_keys:\n  - kyro_acme_{CANARY}: x\n    kyro_acme_{CANARY}: y",
        f"api_keys:\n\t- {CANARY}",
        f"{CANARY}",
        text_of(entry(key=f"kyro_acme_{CANARY}-")),
        text_of(entry(key=f"kyro_{CANARY}")),
        text_of(entry(key=f"kyro_{CANARY}_{CANARY}")),
        text_of(entry(key=f"{CANARY}")),
        text_of(entry(key=None, key_hash=f"kyro_acme_{CANARY}")),
        text_of(entry(key=key_of("acme", CANARY), max_vectors=0)),
        text_of(entry(key=key_of("acme", CANARY), key_hash=key_of("acme", CANARY))),
    ],
)
def test_no_refusal_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text)
    shown = str(refused.value) + repr(refused.value)
    cause = refused.value.__cause__
    assert cause is None
    assert CANARY not in shown


@given(st.text() | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse(text)


def test_clear_keys_are_hashed_with_a_warning() -> None:
    file = parse(text_of(entry(key=key_of("acme", CANARY))))
    assert "1 of 1 keys are stored as plain text" in file.warnings[0]
    assert CANARY not in repr(file)
    assert file.keys[0].clear


def test_the_last_entry_of_a_key_counts() -> None:
    file = parse(text_of(entry(max_vectors=1), entry("b"), entry(max_vectors=2, enabled="false")))
    assert [(key.tenant_id, key.max_vectors, key.enabled) for key in file.keys] == [
        ("b", 1000, True),
        ("acme", 2, False),
    ]
    assert any("api_keys[3] (line 12) repeats the key of api_keys[1] (line 2)" in w for w in file.warnings)


def test_keys_of_a_tenant_that_disagree_are_warned_of() -> None:
    disagreeing = [entry(), entry(key=key_of("acme", "t" * 32), max_qps=5)]
    assert any("tenant acme state different" in warning for warning in parse(text_of(*disagreeing)).warnings)
    disagreeing[1]["enabled"] = "false"
    assert not any("tenant acme" in warning for warning in parse(text_of(*disagreeing)).warnings)


def test_the_sample_key_opens_nothing_but_loopback() -> None:
    text = text_of(entry("sample", key=SAMPLE_KEY))
    assert "the sample key is public" in refusal(text)
    hashed = entry("sample", key=None, key_hash="sha256:" + digest_of(SAMPLE_KEY).hex())
    assert "the sample key is public" in refusal(text_of(hashed))
    assert len(parse_key_file(text, PATH, only_loopback=True).keys) == 1


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    path = write_keys(tmp_path / "keys.yaml", entry())
    path.chmod(mode)
    assert len(read_key_file(path, only_loopback=False).keys) == 1


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (0o644, "read"),
        (0o640, "read"),
        (0o604, "read"),
        (0o620, "changed"),
        (0o602, "changed"),
        (0o666, "changed"),
    ],
)
def test_a_file_others_can_reach_is_refused(tmp_path: Path, mode: int, says: str) -> None:
    path = write_keys(tmp_path / "keys.yaml", entry())
    path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"can be {says} by other users \(mode {mode:04o}\): chmod 0600"):
        read_key_file(path, only_loopback=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.yaml", entry())
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        read_key_file(path, only_loopback=False)


@pytest.mark.parametrize(
    ("mode", "refused"), [(0o600, False), (0o640, False), (0o440, False), (0o644, True), (0o660, True)]
)
def test_a_file_of_root_may_be_read_by_the_group(
    tmp_path: Path, mode: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has files of root")
    path = write_keys(tmp_path / "keys.yaml", entry())
    path.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if refused:
        with pytest.raises(ConfigError, match="other users"):
            check_protection(path)
    else:
        check_protection(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_key_file(tmp_path / "none.yaml", only_loopback=False)
    with pytest.raises(ConfigError, match="is not a file"):
        read_key_file(tmp_path, only_loopback=False)


def test_bytes_that_are_no_text_are_refused_unseen(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.yaml")
    path.write_bytes(CANARY.encode() + b"\xff")
    with pytest.raises(ConfigError, match="is not UTF-8 at byte 37") as refused:
        read_key_file(path, only_loopback=False)
    assert CANARY not in repr(refused.value)


def test_reading_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    read_key_file(write_keys(tmp_path / "keys.yaml", entry(key=key_of("acme", CANARY))), only_loopback=False)
    assert CANARY not in caplog.text


def test_the_sample_file_works_on_loopback() -> None:
    text = (ROOT / "config.pilot.api_keys.example.yaml").read_text("utf-8")
    (key,) = parse_key_file(text, PATH, only_loopback=True).keys
    assert (key.tenant_id, key.is_admin, key.enabled) == ("sample", True, True)


def test_the_documented_file_has_every_field() -> None:
    page = (ROOT / "docs/tenancy.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    file = parse(text)
    (key,) = file.keys
    assert file.warnings == []
    assert (key.tenant_name, key.max_vectors, key.max_qps) == ("Acme Ltd.", 100_000, 500)
    assert key.created_at == "2025-06-01T12:00:00Z"
