"""How many processors this process may use."""

import os
from typing import Final

PROCESSORS: Final = len(os.sched_getaffinity(0))
"""Those of the machine without the ones that taskset or a cpuset keeps from us."""
