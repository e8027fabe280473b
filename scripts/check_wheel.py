"""Whether a wheel holds the package as it is in the source tree: every file of it, and nothing else.

python scripts/check_wheel.py dist/pykyro-0.2.0-py3-none-any.whl
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}


def faults(wheel: Path, source: Path) -> list[str]:
    """What is wrong with this wheel of the package below `source`, a `src` directory; nothing if it is right."""
    found = [] if wheel.name.endswith("-py3-none-any.whl") else [f"{wheel.name} is not for every platform"]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        packed = {name: archive.read(name) for name in names if not name.endswith("/")}
    metadata = "-".join(wheel.name.split("-")[:2]) + ".dist-info/"
    expected = {path.relative_to(source).as_posix(): path for path in package_files(source)}
    expected_names = set(expected) | {metadata + name for name in METADATA}
    found += [f"{name} is missing" for name in sorted(expected_names - set(packed))]
    found += [f"{name} does not belong there" for name in sorted(set(packed) - expected_names)]
    found += [
        f"{name} is not the file of the tree"
        for name, path in sorted(expected.items())
        if name in packed and packed[name] != path.read_bytes()
    ]
    return found + [f"{name} is there twice" for name in sorted(set(names)) if names.count(name) > 1]


def package_files(source: Path) -> list[Path]:
    """The files of the package: all but what the interpreter makes."""
    return [
        path for path in (source / "pykyro").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]


def main() -> int:
    found = faults(Path(sys.argv[1]), ROOT / "src")
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
