"""docs/api.md: every RPC and field is in it, its bounds are the true ones, its commands and programs work."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tests.server.running import RunningServer, running_server

from pykyro.embedded.options import DatabaseOptions
from pykyro.model import limits
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import METHODS
from pykyro.version import SERVICE

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
MESSAGES = pb.DESCRIPTOR.message_types_by_name
SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
}


def section(heading: str) -> str:
    """The text under a heading, up to the next of any level."""
    _, found, rest = DOCUMENT.partition(f"\n{heading}\n")
    assert found, f"no {heading}"
    return re.split(r"\n#+ ", rest)[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def type_of(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            return f"map<string, {SCALARS[field.message_type.fields_by_name['value'].type]}>"
        name = field.message_type.name
    elif field.enum_type is not None:
        name = field.enum_type.name
    else:
        name = SCALARS[field.type]
    return f"repeated {name}" if field.is_repeated else name


@pytest.mark.parametrize("name", METHODS)
def test_every_rpc_has_a_section_that_names_its_messages(name: str) -> None:
    text = section(f"### {name}")
    for message in (METHODS[name].request, METHODS[name].response):
        assert f"[{message.DESCRIPTOR.name}](#{message.DESCRIPTOR.name.lower()})" in text
    assert f"{SERVICE}/{name}\n" in text


@pytest.mark.parametrize("name", MESSAGES)
def test_every_field_has_a_row_with_its_number_type_and_meaning(name: str) -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.*?) \| (.+?) \|$", section(f"#### {name}"), re.MULTILINE)
    fields = MESSAGES[name].fields
    assert [row[:3] for row in rows] == [(str(field.number), field.name, type_of(field)) for field in fields]
    for field, (*_, meaning) in zip(fields, rows, strict=True):
        for value in field.enum_type.values if field.enum_type is not None else ():
            assert f"{value.name} = {value.number}" in meaning


@pytest.mark.parametrize(
    ("subject", "bounds"),
    [
        ("components of a vector", [f"1 to {limits.DIMENSION_MAX}"]),
        ("`k`", [f"1 to {limits.K_MAX}"]),
        ("`ef_search`", [f"0 to {limits.EF_SEARCH_MAX:,}"]),
        (
            "metadata of a document",
            [
                f"{limits.METADATA_ENTRIES_MAX} entries",
                f"{limits.METADATA_KEY_BYTES_MAX} bytes a key",
                "1 MiB",
            ],
        ),
        ("namespace", [f"{limits.NAMESPACE_BYTES_MAX} bytes"]),
        ("filter", [f"{limits.FILTER_DEPTH_MAX} deep", f"{limits.FILTER_NODES_MAX} conditions"]),
        ("BulkInsert, BulkSearch", [f"{limits.STREAM_MESSAGES_MAX:,} messages"]),
        ("BulkQuery, BatchDelete", [f"{limits.STREAM_MESSAGES_MAX:,} ids"]),
        ("BulkLoadHnsw", [f"{limits.BULK_LOAD_DOCUMENTS_MAX:,} messages"]),
        ("a message", ["4 MiB"]),
    ],
)
def test_bounds_are_the_true_ones(subject: str, bounds: list[str]) -> None:
    (row,) = re.findall(rf"^\| {re.escape(subject)} \| (.*) \|$", section("## Bounds"), re.MULTILINE)
    assert all(bound in row for bound in bounds)
    assert (limits.METADATA_BYTES_MAX, limits.MESSAGE_BYTES_MAX) == (1 << 20, 4 << 20)
    assert limits.DOC_ID_MAX == 2**64 - 1


def test_every_option_of_open_is_named() -> None:
    (sentence,) = re.findall(r"\*\*Options of `pykyro.open`\*\*.*?\n\n", DOCUMENT, re.DOTALL)
    named = re.findall(r"`(\w+)`", sentence.partition("beside `dimension` and `distance`")[2])
    assert set(named) == set(DatabaseOptions.__annotations__)


class Grpcurl:
    """What grpcurl does with the lines of the document: everything it knows comes from the server's reflection."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = DescriptorPool(self._database)

    def run(self, line: str) -> list[Any]:
        """The responses of a call as grpcurl would print them, or what list and describe name."""
        words = shlex.split(line)
        assert words[:2] == ["grpcurl", "-plaintext"]
        data = words.pop(words.index("-d") + 1) if "-d" in words else ""
        *_, command, symbol = words
        if command == "list":
            return [method.name for method in self._pool.FindServiceByName(symbol).methods]
        if command == "describe":
            return [field.name for field in self._pool.FindMessageTypeByName(symbol).fields]
        service, _, name = symbol.partition("/")
        return self._call(self._pool.FindServiceByName(service).methods_by_name[name], symbol, data)

    def _call(self, method: MethodDescriptor, symbol: str, data: str) -> list[Any]:
        kind, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        requests = [json_format.ParseDict(each, kind()) for each in _json_values(data)] or [kind()]
        call = self._channel.stream_stream if method.client_streaming else self._channel.unary_stream
        rpc = call(
            f"/{symbol}", request_serializer=kind.SerializeToString, response_deserializer=answer.FromString
        )
        sent: Any = iter(requests) if method.client_streaming else requests[0]
        return [
            json_format.MessageToDict(response, preserving_proto_field_name=True) for response in rpc(sent)
        ]


def _json_values(text: str) -> Iterator[Any]:

    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        value, end = decoder.raw_decode(text, at)
        yield value
        at = end + 1


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("api")
    with running_server(directory, hnsw__dimension=3, hnsw__distance="cosine") as server:
        yield server


def test_the_grpcurl_lines_work(empty_server: RunningServer) -> None:
    grpcurl = Grpcurl(empty_server.channel)
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    answers: dict[str, list[list[Any]]] = {}
    for line in lines:
        answers.setdefault(line.split()[-1].partition("/")[2] or line.split()[-2], []).append(
            grpcurl.run(line)
        )
    assert set(answers) == {*METHODS, "list", "describe", "Check"}
    assert answers["list"] == [list(METHODS)]
    assert "query_embedding" in answers["describe"][0]
    assert answers["Check"] == [[{"status": "SERVING"}]]
    assert answers["BulkInsert"][0][0]["total_inserted"] == "2"
    assert answers["BulkLoadHnsw"][0][0]["total_loaded"] == "2"
    assert answers["Delete"][0][0].items() >= {"success": True, "existed": True}.items()
    assert answers["BatchDelete"][0][0].items() >= {"success": True, "deleted_count": "2"}.items()
    assert answers["Query"][0][0]["metadata"] == {"source": "wiki", "year": "2021", "read": "yes"}
    assert [row.get("found", False) for row in answers["BulkQuery"][0][0]["results"]] == [True, False, True]
    assert [[row["doc_id"] for row in each[0]["results"]] for each in answers["Search"]] == [
        ["1", "3", "2"],
        ["1", "3"],
    ]
    assert answers["Search"][1][0]["exact"] is True
    assert [row["results"][0]["doc_id"] for row in answers["BulkSearch"][0]] == ["1", "2"]
    assert answers["FlushHotTier"][0][0]["documents_flushed"] == "3"
    assert answers["CreateSnapshot"][0][0]["documents_snapshotted"] == "3"
    assert answers["GetConfig"][0][0]["embedding_dimension"] == "3"


def test_the_python_programs_work(empty_server: RunningServer, tmp_path: Path) -> None:
    program = "\n".join(blocks("python"))
    program = program.replace("localhost:50051", f"127.0.0.1:{empty_server.port}")
    program = program.replace('"./', f'"{tmp_path}/')
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(program, "docs/api.md", "exec"), {"__name__": "document"})
    at = 0
    for expected in re.findall(r"print\(.*\)  # (.*)", program):
        pattern = ".*?".join(map(re.escape, expected.split("…")))
        found = re.compile(pattern).search(output.getvalue(), at)
        assert found, f"{expected!r} was not printed:\n{output.getvalue()[at:]}"
        at = found.end()
    assert at > 0
