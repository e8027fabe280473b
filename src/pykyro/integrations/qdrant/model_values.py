"""What the models are made of: ids, vectors, payloads, and the words that fields take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict

Payload: TypeAlias = dict[str, Any]


def _id(value: Any) -> Any:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    return str(value)  # a uuid.UUID


def _vector(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


PointId: TypeAlias = Annotated[int | str, BeforeValidator(_id)]
ExtendedPointId = PointId
Vector: TypeAlias = Annotated[Any, BeforeValidator(_vector)]
"""A list of floats. Others (named, sparse, several) are refused by the call, which says what to do instead."""


class Given(BaseModel):
    """What a program writes: a field that is not there is a mistake."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Distance(StrEnum):
    """How far two vectors are from each other."""

    COSINE = "Cosine"
    EUCLID = "Euclid"
    DOT = "Dot"
    MANHATTAN = "Manhattan"


class UpdateStatus(StrEnum):
    """A write is done when its call returns."""

    ACKNOWLEDGED = "acknowledged"
    COMPLETED = "completed"


class CollectionStatus(StrEnum):
    """Green: everything is well. Red: writes are refused."""

    GREEN = "green"
    YELLOW = "yellow"
    GREY = "grey"
    RED = "red"


class PayloadSchemaType(StrEnum):
    """What an index of Qdrant is made for. Here every field is indexed."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    GEO = "geo"
    TEXT = "text"
    BOOL = "bool"
    DATETIME = "datetime"
    UUID = "uuid"


class Direction(StrEnum):
    """Of an order."""

    ASC = "asc"
    DESC = "desc"


class RecommendStrategy(StrEnum):
    """How examples become one question."""

    AVERAGE_VECTOR = "average_vector"
    BEST_SCORE = "best_score"
    SUM_SCORES = "sum_scores"
