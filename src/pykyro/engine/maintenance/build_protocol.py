"""The protocol of a build process, on its standard input and output: a greeting, then JSON, one object each."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from pykyro.engine.maintenance.segment_builder import MergeInput, MergeJob
from pykyro.index.vector.graph_build import GraphParameters
from pykyro.model.types import Metric
from pykyro.storage.manifest import FileEntry, SegmentEntry

GREETING: Final = f"kyrodb build {sys.implementation.cache_tag} {sys.hexversion:x}\n".encode()
"""The first output of the process, which shows that it is a build process and works."""


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """Build segment `number`, whose rows are written already."""

    directory: str
    number: int
    rows: FileEntry
    row_count: int
    parameters: GraphParameters
    threads: int


@dataclass(frozen=True, slots=True)
class MergeRequest:
    directory: str
    job: MergeJob
    parameters: GraphParameters
    threads: int


BuildRequest: TypeAlias = GraphRequest | MergeRequest


def encode_request(request: BuildRequest) -> bytes:
    parameters = asdict(request.parameters) | {"metric": request.parameters.metric.value}
    common = {"directory": request.directory, "parameters": parameters, "threads": request.threads}
    if isinstance(request, GraphRequest):
        rows = request.rows.model_dump()
        return _json(
            {"graph": {"number": request.number, "rows": rows, "row_count": request.row_count}, **common}
        )
    inputs = [
        {
            "entry": item.entry.model_dump(mode="json"),
            "dropped": base64.b64encode(item.dropped.astype("<u4").tobytes()).decode(),
            "covers": item.covers,
        }
        for item in request.job.inputs
    ]
    job = request.job
    return _json(
        {"merge": {"number": job.number, "inputs": inputs, "extends_first": job.extends_first}, **common}
    )


def decode_request(data: bytes) -> BuildRequest:
    """Raises ValueError or KeyError when `encode_request` did not write it."""
    value = json.loads(data)
    raw = value["parameters"]
    parameters = GraphParameters(raw["m"], raw["ef_construction"], Metric(raw["metric"]))
    directory, threads = value["directory"], value["threads"]
    if "graph" in value:
        graph = value["graph"]
        rows = FileEntry.model_validate(graph["rows"])
        return GraphRequest(directory, graph["number"], rows, graph["row_count"], parameters, threads)
    merge = value["merge"]
    inputs = tuple(
        MergeInput(
            SegmentEntry.model_validate(item["entry"]),
            np.frombuffer(base64.b64decode(item["dropped"]), dtype="<u4").astype(np.uint32),
            item["covers"],
        )
        for item in merge["inputs"]
    )
    job = MergeJob(merge["number"], inputs, merge["extends_first"])
    return MergeRequest(directory, job, parameters, threads)


def encode_answer(answer: SegmentEntry) -> bytes:
    return _json({"segment": answer.model_dump(mode="json")})


def decode_answer(data: bytes) -> SegmentEntry:
    return SegmentEntry.model_validate(json.loads(data)["segment"])


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
