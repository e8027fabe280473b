"""A client where nothing is installed that it does not need, as README.md says how to install it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.server.running import RunningServer

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import asyncio, importlib.metadata, sys

class Only:
    # Refuses what none of the named distributions brings.
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in others:
            raise ModuleNotFoundError(f"{name} is not installed")

wanted = set(sys.argv[2:])
others = {
    module
    for module, owners in importlib.metadata.packages_distributions().items()
    if not wanted & {owner.lower() for owner in owners}
}
sys.meta_path.insert(0, Only())

import pykyro

with pykyro.Client(sys.argv[1]) as db:
    dimension = db.stats().dimension
    report = db.insert_many([{"id": at, "vector": [at] * dimension, "n": at} for at in (1, 2, 3)], "alone")
    hits = db.search([1.0] * dimension, k=2, filter={"n": {"$gt": 1}}, namespace="alone")
    print(report.inserted, sorted(hit.id for hit in hits), len(db.facets("n", namespace="alone")))

async def main():
    async with pykyro.AsyncClient(sys.argv[1]) as db:
        print([document.id for document in await db.scroll(order_by="n", descending=True, namespace="alone")])

asyncio.run(main())
with pykyro.Client(sys.argv[1]) as db:
    db.clear("alone")
try:
    pykyro.open
except ModuleNotFoundError as error:
    print(error)
"""


def named_in_readme() -> set[str]:
    """The distributions that README.md says a client needs."""
    line = re.search(
        r"^    pip install --no-deps .*&& pip install (.*)$", (ROOT / "README.md").read_text(), re.M
    )
    assert line is not None
    bounds = set(re.findall(r"'([^']+)'", line[1]))
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert bounds < set(declared)
    return {re.split(r"[<>=]", bound)[0] for bound in bounds}


def test_a_client_alone_works(server: RunningServer) -> None:
    # typing_extensions comes with grpcio; pykyro itself is what is tested.
    needed = {*named_in_readme(), "pykyro", "typing_extensions"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, f"127.0.0.1:{server.port}", *needed],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    inserted, listed, refused = done.stdout.splitlines()
    assert inserted == "3 [2, 3] 3"
    assert listed == "[3, 2, 1]"
    assert "is not installed" in refused
