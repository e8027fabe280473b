"""Edits of the key file: what is meant changes, everything else stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.tenancy.keys import entry, key_of, text_of, write_keys

from pykyro.model.errors import ConfigError
from pykyro.tenancy.api_keys import ApiKey, digest_of
from pykyro.tenancy.key_editing import add_key, disable_keys
from pykyro.tenancy.key_file import read_key_file

NEW = ApiKey(digest_of(key_of("new")), "new", "It's: new #1", 5, 6, True, True, "2025-06-01T12:00:00Z")


def words_of(text: str) -> list[list[str]]:
    """The words of each line; the spaces between them may change."""
    return [line.split() for line in text.splitlines()]


def keys(path: Path) -> list[ApiKey]:
    return read_key_file(path, only_loopback=True).keys


def test_the_first_key_makes_the_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    add_key(path, NEW)
    assert keys(path) == [NEW]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [child.name for child in tmp_path.iterdir()] == ["keys.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        text_of(entry(), entry("b")),
        text_of(entry()).rstrip("\n"),
        "# ours\n" + text_of(entry()) + "    # about acme\n\n# the end\n",
        text_of(entry(note="[1, 2]")) + "other: {a: b}\n",
        text_of(entry()).replace("\n  ", "\n"),
        "api_keys: []\n",
        "api_keys:\nother: 1\n",
        "other: 1\napi_keys:",
        "api_keys: ~ # none\nother: 1\n",
        "api_keys: [] # none\n",
        "x: &x 1\ny: &x 2\nz: *x\n" + text_of(entry()),
        "# before\n\n---\n# behind\n" + text_of(entry(max_vectors="1000  # many", created_at="")),
        text_of(entry(note="|\n      some\n      # no comment")) + "\n# other things\nother: 010\n",
        text_of(entry(tenant_name='"A\\tB # no comment"')) + "list:\n  - [TRUE, ~, 1e3, 0x1]\n",
    ],
)
def test_a_key_is_added_and_nothing_else_changes(tmp_path: Path, text: str) -> None:
    path = write_keys(tmp_path / "keys.yaml")
    path.write_text(text)
    before = keys(path)
    add_key(path, NEW)
    assert keys(path) == [*before, NEW]
    after = words_of(path.read_text())
    for line in words_of(text.replace("api_keys: []", "api_keys:").replace("api_keys: ~", "api_keys:")):
        assert line in after


def test_comments_below_the_list_stay_below_it_and_those_of_an_entry_with_it(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.yaml")
    about_acme, below = "    # about acme\n", "\n# other things\nother: 1\n"
    path.write_text(text_of(entry()) + about_acme + below)
    add_key(path, NEW)
    after = path.read_text()
    assert after.startswith(text_of(entry()) + about_acme)
    assert after.endswith(below)
    assert keys(path)[-1] == NEW


def test_line_ends_of_another_system_stay(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.yaml")
    text = ("# ours\n" + text_of(entry(), entry("b", enabled="true # until June"))).replace("\n", "\r\n")
    path.write_bytes(text.encode())
    add_key(path, NEW)
    assert path.read_bytes().startswith(text.encode())
    assert b"\n" not in path.read_bytes().replace(b"\r\n", b"")


def test_indentation_of_the_list_stays(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.yaml")
    for dash in ("", "   "):
        text = text_of(entry()).replace("\n  ", f"\n{dash}")
        path.write_text(text)
        add_key(path, NEW)
        assert path.read_text().startswith(text)


@pytest.mark.parametrize(
    "text",
    [
        "api_keys: [{a: b}]",
        '{"api_keys": []}',
        "api_keys: [{" + ", ".join(f"{name}: {value}" for name, value in entry().items()) + "}]\n",
        text_of(entry()) + "other: {a: 1, a: 2}\n",
        text_of(entry()) + "other:\n  ? {a: {b: 1}}\n  : 2\n",
        text_of(entry()) + "other: 1 # one\n...\n# lost\n",
    ],
)
def test_a_layout_that_cannot_be_edited_is_left_alone(tmp_path: Path, text: str) -> None:
    path = write_keys(tmp_path / "keys.yaml")
    path.write_text(text)
    with pytest.raises(ConfigError):
        add_key(path, NEW)
    assert path.read_text() == text
    assert [child.name for child in tmp_path.iterdir()] == ["keys.yaml"]


def test_disabling_changes_one_word_an_entry(tmp_path: Path) -> None:
    text = "# ours\n" + text_of(entry(), entry("b"), entry("c", enabled="TRUE  # until June"))
    path = write_keys(tmp_path / "keys.yaml")
    path.write_text(text)
    disable_keys(path, [digest_of(key_of(tenant)).hex()[:12] for tenant in ("acme", "c")])
    assert [key.enabled for key in keys(path)] == [False, True, False]
    # The comment stays in its column.
    assert path.read_text() == text.replace("true", "false", 1).replace("TRUE ", "false")


def test_disabling_a_key_that_stands_twice_disables_both(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.yaml", entry(), entry())
    disable_keys(path, [digest_of(key_of("acme")).hex()[:12]])
    assert path.read_text().count("enabled: false") == 2


def test_two_edits_at_once_are_kept_apart(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.yaml", entry())
    (tmp_path / "keys.yaml.new").touch()
    with pytest.raises(ConfigError, match="another edit is in progress"):
        add_key(path, NEW)
    assert len(keys(path)) == 1


def test_a_file_others_can_read_is_not_edited(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.yaml", entry())
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 0600"):
        add_key(path, NEW)
    with pytest.raises(ConfigError, match="No such file"):
        disable_keys(tmp_path / "none.yaml", ["0" * 12])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_keeps_its_owner_and_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_keys(tmp_path / "keys.yaml", entry())
    path.chmod(0o400)
    os.chown(path, 0, 54321)
    add_key(path, NEW)
    facts = path.stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (0, 54321, 0o400)
