"""How long a test waits for what must come.

It is a bound on hanging, never a statement about speed: a machine that is busy with other things may take very long.
"""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 120.0
