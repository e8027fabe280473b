"""docs/rest.md says what REST does: its commands run and print what is printed there; its tables are whole."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.patience import PATIENCE_S
from tests.server.running import running_server

from pykyro.service.rpc_rules import RULES_OF_RPCS
from pykyro.transport.rest.operations import OPERATIONS
from pykyro.transport.rest.problems import STATUSES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rest.md").read_text("utf-8")


def commands() -> list[tuple[str, str]]:
    """Each command of the page and what it prints; `…` stands for anything."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed.strip()))
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_print_what_the_page_says(tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=4) as server:
        for command, printed in commands():
            typed = command.replace("localhost:51051", f"127.0.0.1:{server.http_port}")
            assert typed != command
            done = subprocess.run(
                ["sh", "-c", typed], capture_output=True, text=True, timeout=PATIENCE_S, check=True
            )
            pattern = ".*".join(map(re.escape, printed.split("…")))
            assert re.fullmatch(pattern, done.stdout.strip()), (command, done.stdout)


def test_every_operation_is_in_the_table() -> None:
    table = PAGE.partition("## What there is")[2].partition("## Values")[0]
    for operation in OPERATIONS:
        path = operation.path.replace("/v1/collections/{collection}", "C")
        assert f"`{operation.method} {path}`" in table, operation.name
    for rpc in RULES_OF_RPCS:
        assert f"`{rpc}`" in table, rpc


def test_every_status_is_in_the_table() -> None:
    table = PAGE.partition("## Errors")[2].partition("## Bounds")[0]
    for code, status in STATUSES.items():
        assert str(status) in table
        assert code.name in table or code.name in ("OUT_OF_RANGE", "UNIMPLEMENTED")
