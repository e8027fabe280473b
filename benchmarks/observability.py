"""What watching costs: Search throughput with everything counted against nothing, and with scrapes against none.

python -m benchmarks.observability [--data DIR] [--count N] [--transport h2corn] [--requests N]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.server.running import RunningServer, running_server

from benchmarks import paired, serving
from benchmarks.report import show

UNOBSERVED = (sys.executable, "-m", "benchmarks.unobserved")
DIMENSION = 384


@contextlib.contextmanager
def scraped(running: RunningServer) -> Iterator[None]:
    """A scrape every second."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(1.0):
            running.http("/metrics").raise_for_status()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--transport", nargs="+", default=["h2corn", "grpcio"])
    parser.add_argument("--requests", type=int, default=8000)
    options = parser.parse_args()
    docs = serving.vectors(options.data, options.count, DIMENSION)
    rows = []
    for transport in options.transport:
        settings = serving.room_for(docs, transport)
        with (
            tempfile.TemporaryDirectory() as one,
            tempfile.TemporaryDirectory() as other,
            running_server(Path(one), **settings) as observed,
            running_server(Path(other), (), UNOBSERVED, **settings) as unobserved,
        ):
            for running in (observed, unobserved):
                serving.load(running, docs)
            quiet = paired.searching(observed, docs, requests=options.requests)
            uncounted = paired.searching(unobserved, docs, requests=options.requests)

            def while_scraped(
                running: RunningServer = observed, measure: paired.Measure = quiet
            ) -> tuple[float, float]:
                with scraped(running):
                    return measure()

            rows += [
                *paired.compare(
                    f"Search with metrics and objectives, {transport}",
                    quiet,
                    uncounted,
                    "not counted",
                    "≥ 0.95",
                ),
                *paired.compare(
                    f"Search while scraped every second, {transport}",
                    while_scraped,
                    quiet,
                    "not scraped",
                    "≥ 0.98",
                ),
            ]
    show(rows)


if __name__ == "__main__":
    main()
