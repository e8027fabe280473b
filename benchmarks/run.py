"""Run every benchmark, one after the other."""

from __future__ import annotations

import subprocess
import sys

_MODULES = (
    "embedded_search",
    "durable_inserts",
    "filtered_search",
    "geometry",
    "search_during_writes",
    "startup_and_memory",
    "memory",
    "grpc_search",
    "grpc_bulk_insert",
    "grpc_bulk_search",
    "observability",
    "auth",
    "hostile_clients",
)


def main() -> int:
    failed = []
    for module in _MODULES:
        print(f"\n## {module}", flush=True)
        result = subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *sys.argv[1:]], check=False)
        if result.returncode:
            failed.append(module)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
