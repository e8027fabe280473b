"""All operations, and which one a request is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from pykyro.model.errors import InvalidArgument
from pykyro.transport.rest import collections, documents, searches
from pykyro.transport.rest.declare import Operation
from pykyro.transport.rest.problems import Problem

OPERATIONS: Final = (*searches.OPERATIONS, *documents.OPERATIONS, *collections.OPERATIONS)
"""In the order in which paths are tried."""


class Allowed(Exception):
    """The request only asks which methods a path has."""

    def __init__(self, methods: str) -> None:
        super().__init__(methods)
        self.methods = methods


class _Path(NamedTuple):
    pattern: re.Pattern[str]
    methods: Mapping[str, Operation]

    @property
    def allowed(self) -> str:
        """The value of the header Allow."""
        methods = [*self.methods, *(["HEAD"] if "GET" in self.methods else []), "OPTIONS"]
        return ", ".join(sorted(methods))


def _pattern(path: str) -> re.Pattern[str]:
    """A text id may have slashes, and is what comes last."""
    return re.compile(path.replace("{id}", "(?P<id>.+)").replace("{", "(?P<").replace("}", ">[^/]+)"))


def _paths() -> list[_Path]:
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    return [_Path(_pattern(path), methods) for path, methods in by_path.items()]


_PATHS: Final = _paths()


def find(method: str, raw_path: bytes) -> tuple[Operation, dict[str, str]]:
    """The operation of a request and what its path names. Raises Problem, InvalidArgument, Allowed."""
    path = raw_path.decode("ascii", "replace")
    for one in _PATHS:
        found = one.pattern.fullmatch(path)
        if found is not None:
            if method == "OPTIONS":
                raise Allowed(one.allowed)
            operation = one.methods.get("GET" if method == "HEAD" else method)
            if operation is None:
                raise Problem(
                    "UNIMPLEMENTED",
                    f"{method} is no method of this path: it has {one.allowed}",
                    status=405,
                    headers={"allow": one.allowed},
                )
            return operation, {name: _plain(text, name) for name, text in found.groupdict().items()}
    raise Problem(
        "NOT_FOUND", "there is no such path; /v1/openapi.json describes those there are", status=404
    )


def _plain(text: str, name: str) -> str:
    """A part of a path without escapes. Raises InvalidArgument."""
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{name} in the path is not UTF-8: {error.reason}", field=name) from None
