"""How a key is declared: once, with its default, unit, help and bound.

Help text, generated files, the table in the documentation and validation are all read from the
declaration (`pykyro.config.keys`), so they cannot disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pykyro.config.place import URL_FORMS, is_object_store, local_place
from pykyro.model.cold_tier import SERVICE_NAME_PATTERN, SUFFIX_PATTERN


class Section(BaseModel):
    """A group of keys. Frozen; an unknown key, an infinity or a NaN is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def key(
    default: object,
    help: str,
    *,
    unit: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    example: str | float | None = None,
    former_name: str = "",
    reloads: bool = False,
    compatibility_only: bool = False,
    without_effect: tuple[str, ...] = (),
) -> Any:
    """Declare one key.

    `unit` is what the number counts ("s", "bytes", "documents"); `ge`, `gt` and `le` bound it;
    `example` is a value for a key whose default is null; `former_name` is an old spelling that still
    works; `reloads` says that SIGHUP applies a new value; `compatibility_only` that the key has no effect,
    `without_effect` which of its words have none. Setting one of those is logged at the start.
    """
    return Field(
        default,
        description=help,
        ge=ge,
        gt=gt,
        le=le,
        json_schema_extra={
            "unit": unit,
            "example": example,
            "former_name": former_name,
            "reloads": reloads,
            "compatibility_only": compatibility_only,
            "without_effect": list(without_effect),
        },
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The condition on a value in words, where the type alone does not give it."""

    words: str


def _not_boolean(value: object) -> object:
    # pydantic reads true as 1, so `port: true` would be port 1.
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _lowercase(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _path(value: object) -> object:
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise ValueError("must be a path")
    return value


def _place(value: object) -> object:
    if not isinstance(value, str | Path):
        return value
    text = local_place(str(_path(str(value))))
    if "://" in text and not is_object_store(text):
        raise ValueError("must be a directory or an object store")
    return text


def _service(text: str) -> str:
    if not re.fullmatch(SERVICE_NAME_PATTERN, text):
        raise ValueError("must be the name of a connection service")
    return text


def _suffix(text: str) -> str:
    if not re.fullmatch(SUFFIX_PATTERN, text):
        raise ValueError("must be the end of the name of a connection service")
    return text


def _host(text: str) -> str:
    host = text.strip()
    if host.lower() != "localhost":
        ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    return host


Integer = Annotated[int, BeforeValidator(_not_boolean)]
Number = Annotated[float, BeforeValidator(_not_boolean)]
Host = Annotated[str, AfterValidator(_host), Wanted("an IP address or localhost")]
NonBlankPath = Annotated[Path, BeforeValidator(_path), Wanted("a path, not blank")]
ServiceName = Annotated[str, AfterValidator(_service), Wanted("a name of 1 to 64 of A-Z a-z 0-9 _ - .")]
ServiceSuffix = Annotated[str, AfterValidator(_suffix), Wanted("at most 32 of A-Z a-z 0-9 _ - .")]
Place = Annotated[str, BeforeValidator(_place), Wanted(f"a path, not blank, or {URL_FORMS}, without query")]
"""A directory, or objects under a prefix of a bucket."""
LOWERCASE = BeforeValidator(_lowercase)
"""Words are compared trimmed and without regard to case."""
