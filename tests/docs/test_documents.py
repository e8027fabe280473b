"""The documents say what is there: programs in them run, links lead somewhere, files named exist."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import wait_until
from tests.server.running import free_port

ROOT = Path(__file__).resolve().parents[2]
SEARCH_PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def programs(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)


def server_commands(page: Path) -> list[str]:
    """What the page tells a reader to type that begins with kyrodb_server."""
    lines = re.findall(r"^ {4}(kyrodb_server .+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return [line.partition(" #")[0].strip() for line in lines]


@contextlib.contextmanager
def typed(command: str, directory: Path) -> Iterator[str]:
    """The server that a reader starts by typing this, on ports that are free; its gRPC port."""
    port, http_port = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KYRODB")}
    environment |= {
        "KYRODB_PORT": str(port),
        "KYRODB__SERVER__HTTP_PORT": str(http_port),
        "PATH": SEARCH_PATH,
    }
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=directory,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: b"Server ready" in (directory / "server.log").read_bytes(), "the server is ready")
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait()


def run_program(program: str, directory: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md", "docs/words.md", "docs/arranging.md"])
def test_the_programs_for_new_users_run(name: str, tmp_path: Path) -> None:
    embedded = [program for program in programs(ROOT / name) if "pykyro.open(" in program]
    assert embedded
    for program in embedded:
        run_program(program, tmp_path)


def test_the_first_program_of_the_readme_says_the_same_of_a_server_started_as_printed(tmp_path: Path) -> None:
    embedded, asking, *_ = programs(ROOT / "README.md")
    (command,) = server_commands(ROOT / "README.md")
    with typed(command, tmp_path) as target:
        assert "localhost:50051" in asking
        answered = run_program(asking.replace("localhost:50051", target), tmp_path)
    assert answered
    # On the wire metadata has no order.
    assert sorted(re.findall(r"[\w.]+", answered)) == sorted(
        re.findall(r"[\w.]+", run_program(embedded, tmp_path))
    )
    # It is one line that changes.
    pairs = zip(embedded.splitlines(), asking.splitlines(), strict=True)
    assert sum(one != other for one, other in pairs) == 1


def test_the_quickstart_goes_on_with_a_server(tmp_path: Path) -> None:
    page = ROOT / "docs" / "quickstart.md"
    generate, serve = server_commands(page)
    subprocess.run(["sh", "-c", generate], cwd=tmp_path, env={"PATH": SEARCH_PATH}, check=True)
    assert (tmp_path / "config.yaml").read_text("utf-8").startswith("# KyroDB configuration")
    (program,) = programs(page)
    run_program(program, tmp_path)
    (changed,) = re.findall(r"`(with pykyro\.Client\(.+\) as db:)`", page.read_text("utf-8"))
    with typed(serve, tmp_path) as target:
        line = changed.replace("localhost:50051", target)
        run_program(re.sub(r"with pykyro\.open\(.+\) as db:", line, program), tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_tour_of_the_source_names_files_that_exist() -> None:
    tour = (ROOT / "README.md").read_text("utf-8").split("## Reading the source", 1)[1]
    names = re.findall(r"`([a-z_/]+\.py)`", tour)
    assert len(names) > 10
    for name in names:
        assert (ROOT / "src" / "pykyro" / name).exists(), name


def test_every_make_target_of_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"(?:^ {4}|`)make ([a-z]+)", page.read_text("utf-8"), flags=re.MULTILINE):
            assert target in targets, f"{page.name} speaks of make {target}"


def test_files_stay_short_enough_to_read() -> None:
    for folder in ("src", "tests", "benchmarks", "scripts", "examples"):
        for file in (ROOT / folder).rglob("*.py"):
            if "_pb2" not in file.name:
                assert len(file.read_text("utf-8").splitlines()) <= 400, file
