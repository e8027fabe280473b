"""The description of REST as OpenAPI 3.1, made from the declarations that check it."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from pykyro.service.rpc_rules import RULES_OF_RPCS
from pykyro.transport.rest import schemas
from pykyro.transport.rest.answers import ProblemDetails
from pykyro.transport.rest.declare import JSON, NDJSON, NoQuery, Operation
from pykyro.transport.rest.operations import OPERATIONS
from pykyro.transport.rest.problems import PROBLEM, title_of
from pykyro.version import __version__

_REF: Final = "#/components/schemas/{model}"
_STANDS_FOR: Final = "schema:"
_PATH_FIELDS: Final = {
    "collection": "A collection or an alias; `default` is always there.",
    "alias": "The alias.",
    "id": "The id, escaped as parts of a path are.",
}
_EVERYWHERE: Final = (400, 401, 408, 413, 415, 429, 500, 503, 504)
"""Errors that any operation may end with."""
_ABOUT: Final = (
    "The RPCs of KyroDB in JSON: what holds there of keys, rights, limits and answers holds here. Integers have 64 "
    "bits and are exact. A position counts the writes of a collection; that of a document is its ETag."
)


def description() -> dict[str, Any]:
    """The whole document."""
    models = {(ProblemDetails, "serialization"), (schemas.NewDocument, "validation")}
    for operation in OPERATIONS:
        models.add((operation.answer, "serialization"))
        if operation.body is not None:
            models.add((operation.body, "validation"))
    _, together = models_json_schema(sorted(models, key=str), ref_template=_REF)  # type: ignore[arg-type]
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "KyroDB REST",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"apiKey": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": _within_components(together.get("$defs", {})),
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    rules = RULES_OF_RPCS[operation.rpc]
    about = f"As the RPC {operation.rpc}."
    if rules.admin:
        about += " With keys it needs that of an admin."
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": about,
        "parameters": [
            *_path_parameters(operation),
            *_query_parameters(operation),
            *_header_parameters(operation),
        ],
        "responses": _responses(operation, 403 if rules.admin else None),
    }
    if operation.body is not None:
        content: dict[str, Any] = {JSON: {"schema": _schema(operation.body.__name__)}}
        for kind in operation.streams_in:
            lines = {"description": "A NewDocument a line."} if kind == NDJSON else {}
            content[kind] = {"schema": {"type": "string", "contentMediaType": kind, **lines}}
        described["requestBody"] = {
            "required": any(field.is_required() for field in operation.body.model_fields.values()),
            "content": content,
        }
    return described


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_FIELDS[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is NoQuery:
        return []
    properties = operation.query.model_json_schema()["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": about, "schema": {"type": "string"}}
        for name, about in operation.headers.items()
    ]


def _responses(operation: Operation, more: int | None) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in operation.statuses:
        responses[str(status)] = found = {"description": title_of(status)}
        if status != 304:
            found["content"] = {JSON: {"schema": _schema(operation.answer.__name__)}}  # type: ignore[assignment]
            for kind in operation.streams_out:
                found["content"][kind] = {"schema": {"type": "string"}}  # type: ignore[index]
        if operation.etag:
            found["headers"] = {"etag": {"required": True, "schema": {"type": "string"}}}  # type: ignore[assignment]
    for status in sorted({*_EVERYWHERE, *operation.errors, *([] if more is None else [more])}):
        described: dict[str, Any] = {
            "description": title_of(status),
            "content": {PROBLEM: {"schema": _schema("ProblemDetails")}},
        }
        responses[str(status)] = described
    return responses


def _schema(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=name)}


def _within_components(tree: Any) -> Any:
    """The schemas, with what stands for another schema by its name made into what refers to it."""
    if isinstance(tree, dict):
        if str(tree.get("title", "")).startswith(_STANDS_FOR):
            return _schema(tree["title"].removeprefix(_STANDS_FOR))
        return {name: _within_components(inner) for name, inner in tree.items()}
    return [_within_components(inner) for inner in tree] if isinstance(tree, list) else tree
