"""The RPCs of kyrodb.v1.KyroDBService as a table, read from the service's own descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from pykyro.proto import kyrodb_pb2
from pykyro.version import SERVICE

RETRY_AFTER_KEY: Final = "retry-after-ms"
"""Trailing metadata of a RESOURCE_EXHAUSTED that ends by waiting: for how many milliseconds."""


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: its name, its message classes and which of its sides are streams."""

    name: str
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool

    @property
    def path(self) -> str:
        """The HTTP/2 path a call of this RPC has."""
        return f"/{SERVICE}/{self.name}"


METHODS: Final[dict[str, Method]] = {
    method.name: Method(
        name=method.name,
        request=GetMessageClass(method.input_type),
        response=GetMessageClass(method.output_type),
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
    )
    for method in kyrodb_pb2.DESCRIPTOR.services_by_name["KyroDBService"].methods
}
