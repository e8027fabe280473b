"""Where the sealed documents of a collection are: in segments of its own directory, or in PostgreSQL.

    local                  segments here
    postgres               a table of the PostgreSQL that the connection service `kyrodb` names
    postgres:<service>     another service

A connection service is a section of a file pg_service.conf, as PostgreSQL's own programs read it: what it says, the
password too, stands neither in a request nor in the data directory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pykyro.model.errors import InvalidArgument

LOCAL: Final = "local"
POSTGRES: Final = "postgres"
ENGINES: Final = (LOCAL, POSTGRES)
DEFAULT_SERVICE: Final = "kyrodb"
SERVICE_NAME_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}$"
SUFFIX_PATTERN: Final = r"^[A-Za-z0-9_.\-]{0,32}$"
"""Of what is put behind the name of a service for that of its replica."""
_SERVICE: Final = re.compile(SERVICE_NAME_PATTERN)


@dataclass(frozen=True, slots=True)
class ColdTier:
    """An engine, and of postgres the connection service."""

    engine: str = LOCAL
    service: str = ""

    def __str__(self) -> str:
        if self.engine == LOCAL or self.service == DEFAULT_SERVICE:
            return self.engine
        return f"{self.engine}:{self.service}"


def checked_cold_tier(text: object, field: str = "cold_tier") -> ColdTier:
    """The cold tier that a text names; "" is local. Raises InvalidArgument."""
    if text == "" or text == LOCAL:
        return ColdTier()
    if isinstance(text, str):
        engine, colon, service = text.partition(":")
        if engine == POSTGRES and (not colon or _SERVICE.fullmatch(service)):
            return ColdTier(POSTGRES, service or DEFAULT_SERVICE)
    raise InvalidArgument(
        f"{field} must be {LOCAL}, {POSTGRES} or {POSTGRES}:<service>, where the service is a name of 1 to 64 of the "
        f"characters A-Z a-z 0-9 _ - . in pg_service.conf, got {text!r:.100}",
        field=field,
    )
