"""How long searches for counter-examples go on: KYRODB_LONGER=10 has the longest of them try ten times as much."""

from __future__ import annotations

import os
from typing import Final

import pytest

TIMES: Final = int(os.environ.get("KYRODB_LONGER", "1"))


def longer(examples: int) -> int:
    """So many examples, or as many times that as is asked for."""
    return examples * TIMES


long_form: Final = pytest.mark.skipif(TIMES == 1, reason="a case of the long form: KYRODB_LONGER=2")
"""For a case that tells little beside its neighbours and takes long."""
