"""The languages whose words are known."""

from __future__ import annotations

from typing import Final

SIMPLE: Final = "simple"
_SNOWBALL: Final = """
arabic armenian basque catalan czech danish dutch english esperanto estonian finnish french
german greek hindi hungarian indonesian irish italian lithuanian nepali norwegian persian polish
portuguese romanian russian serbian sesotho spanish swedish tamil turkish yiddish
"""
LANGUAGES: Final = (SIMPLE, *_SNOWBALL.split())
"""`simple` takes words as they are, the others their stems, by the algorithms of Snowball."""
