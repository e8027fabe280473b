"""Options of kyrodb that would have no effect beside the others are wrong usage, as for kyrodb_backup."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pykyro.cli.kyrodb import main

IMPORT = ("import", "--in", "x")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("drill", "--tenant", "acme"), "--tenant needs --server"),
        (
            ("export", "--data-dir", "d", "--backup-id", "i", "--out", "o", "--format", "npy"),
            "--backup-id needs --backup-dir",
        ),
        ((*IMPORT, "--url", "h:1", "--dimension", "3"), "--dimension needs --data-dir"),
        ((*IMPORT, "--url", "h:1", "--distance", "cosine"), "--distance needs --data-dir or --from"),
        ((*IMPORT, "--data-dir", "d", "--into", "a"), "--into needs --from"),
        ((*IMPORT, "--data-dir", "d", "--tls"), "--tls needs --url"),
        ((*IMPORT, "--data-dir", "d", "--api-key-file", "f"), "--api-key-file needs --url"),
        ((*IMPORT, "--data-dir", "d", "--server-name", "n"), "--server-name needs --url"),
    ],
)
def test_option_without_the_one_it_goes_with(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.out == ""


def test_a_command_loads_what_it_needs_alone() -> None:
    """To name a key must not take the time that the engine takes to load."""
    program = (
        "import json, sys; from pykyro.cli.kyrodb import main; code = main(['keys', 'list', '--file', 'none']);"
        "print(json.dumps([code, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    code, loaded = json.loads(ended.stdout)
    assert code == 1
    assert "pydantic" in loaded
    assert not {"faiss", "grpc", "uvicorn"} & set(loaded)
