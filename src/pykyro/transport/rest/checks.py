"""What a declaration refuses, in one sentence that names the field and what was met."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pykyro.model.errors import InvalidArgument
from pykyro.model.scalars import shown


def checked_object(tree: Any, what: str) -> dict[str, Any]:
    """`tree` itself, when it is an object of JSON. Raises InvalidArgument."""
    if not isinstance(tree, dict):
        raise InvalidArgument(f"{what} must be an object of JSON, got {shown(tree)}", field="body")
    return tree


def fault_of(error: ValidationError) -> InvalidArgument:
    """The error for the first thing that a declaration refused."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ""
    for part in first["loc"]:
        if isinstance(part, int):
            field += f"[{part}]"
        elif part not in ("int", "str", "constrained-int"):
            field += f".{part}" if field else str(part)[:200]
    match first["type"]:
        case "missing":
            text = f"{field} is missing"
        case "extra_forbidden":
            text = f"{field} is no field of this request"
        case _:
            said = first["msg"].replace("Input should be", "must be")
            text = f"{field} {said}, got {shown(first['input'])}"
    return InvalidArgument(text, field=field)
