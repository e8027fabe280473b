"""One target under atheris (https://github.com/google/atheris).

python -m fuzz.guided TARGET [arguments of libFuzzer]
"""

from __future__ import annotations

import logging
import sys

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["pykyro"]):
    from fuzz.targets import TARGETS


def main() -> None:
    logging.disable(logging.CRITICAL)
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
