"""docs/operations.md as a test runs it: the commands of its sections."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.server.running import RunningServer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
COMMANDS = ("kyrodb_server", "kyrodb_backup", "kyrodb")


def section(title: str) -> str:
    """What stands under a heading, up to the next one of its level or a higher one."""
    found = re.search(
        rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,3}} |\Z)",
        PAGE.read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    assert found is not None, title
    return found[2]


def commands(title: str) -> list[str]:
    """The lines of the bash blocks of a section."""
    blocks = re.findall(r"```bash\n(.*?)```", section(title), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def all_commands() -> set[str]:
    """Every command of the page."""
    return {
        line
        for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
        for line in block.splitlines()
    }


class Shell:
    """One bash after the other, with the page's programs on the path and the test's server at its address."""

    def __init__(self, tmp_path: Path, **variables: object) -> None:
        self._tmp_path = tmp_path
        self._programs = tmp_path / "bin"
        self._programs.mkdir(exist_ok=True)
        for name in COMMANDS:
            script = self._programs / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pykyro.cli.{name} "$@"\n')
            script.chmod(0o755)
        self._variables = {name: str(value) for name, value in variables.items()}
        self.config = tmp_path / "config.yaml"

    def run(self, command: str, server: RunningServer | None = None, *, code: int = 0) -> str:
        """What one command of the page says on both outputs. Its pipes must not fail either."""
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._variables[name] = value
            return ""
        line = command.replace("/etc/kyrodb/config.yaml", str(self.config))
        if server is not None:
            line = line.replace("localhost:51051", f"127.0.0.1:{server.http_port}")
            line = line.replace("$(pidof -s kyrodb_server)", str(server.process.pid))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KYRODB")}
        environment["PATH"] = f"{self._programs}:{environment['PATH']}"
        ended = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self._tmp_path,
            env=environment | self._variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, f"{line}\n{ended.stdout}{ended.stderr}"
        return ended.stdout + ended.stderr

    def run_all(
        self, title: str, server: RunningServer | None = None, *, excused: tuple[str, ...] = ()
    ) -> list[str]:
        """What each command of a section says, but for those that begin with one of `excused`."""
        return [
            self.run(command, server)
            for command in commands(title)
            if not command.startswith(excused or ("\n",))
        ]

    def describe(self, server: RunningServer, data_dir: Path, dimension: int) -> None:
        """Write the configuration that `server` runs by."""
        self.config.write_text(
            f"server: {{port: {server.port}, http_port: {server.http_port}}}\n"
            f"persistence: {{data_dir: {data_dir}}}\n"
            f"hnsw: {{dimension: {dimension}}}\n"
        )
