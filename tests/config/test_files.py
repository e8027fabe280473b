"""Files: three formats by extension; what cannot be read is refused with its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykyro.config.files import read_file
from pykyro.model.errors import ConfigError

SAME = {
    "c.yaml": "server:\n  port: 1\n  tls: {enabled: true}\n",
    "c.YML": "server: {port: 1, tls: {enabled: true}}",
    "c.toml": "[server]\nport = 1\ntls.enabled = true\n",
    "c.json": '{"server": {"port": 1, "tls": {"enabled": true}}}',
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_formats_say_the_same(tmp_path: Path, name: str, prefix: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(prefix + SAME[name].encode())
    assert read_file(path)[0] == {"server": {"port": 1, "tls": {"enabled": True}}}


@pytest.mark.parametrize(
    ("name", "content", "fragment"),
    [
        ("c.ini", b"", "unknown extension '.ini', must be .yaml, .yml, .toml or .json"),
        ("c", b"", "unknown extension ''"),
        ("c.yaml", b"- 1", "must be a mapping of sections, is a list"),
        ("c.yaml", b"words", "must be a mapping of sections, is a str"),
        ("c.json", b"[]", "must be a mapping of sections, is a list"),
        ("c.yaml", b"a: [", "malformed yaml: "),
        ("c.yaml", b"a: \xff", "not UTF-8 at byte 3"),
        ("c.toml", b"a = 1\nb = = 2", "malformed toml: Invalid value (at line 2, column 5)"),
        ("c.toml", b"a = 1\na = 2", "malformed toml: Cannot overwrite a value (at end of document)"),
        ("c.json", b'{\n"a": }', "malformed json: Expecting value: line 2 column 6"),
        ("c.json", b'{"a": 1, "a": 2}', "malformed json: key 'a' is given twice"),
        ("c.json", b"[" * 100_000, "malformed json: "),
        ("c.json", b"", "malformed json: "),
    ],
)
def test_file_that_is_refused_says_what(tmp_path: Path, name: str, content: bytes, fragment: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert fragment in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "d.yaml"
    directory.mkdir()
    with pytest.raises(ConfigError, match=r"d.yaml.*cannot be read: is a directory"):
        read_file(directory)
    with pytest.raises(ConfigError, match=r"absent.toml: configuration file does not exist"):
        read_file(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match=r"cannot be read: embedded null byte"):
        read_file(Path("a\0.yaml"))
