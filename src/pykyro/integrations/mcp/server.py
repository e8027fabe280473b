"""The server: which tools there are, and what a client is told of them."""

from __future__ import annotations

from typing import Any, Final

from mcp.server import MCPServer
from mcp.types import ToolAnnotations

import pykyro
from pykyro.integrations.mcp.tools import ReadTools, WriteTools

_READS: Final = (
    "list_collections",
    "search",
    "search_text",
    "search_like",
    "get",
    "scroll",
    "count",
    "health",
)
_WRITES: Final = ("insert", "update_metadata", "delete")
_READING: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITING: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)


def make_server(
    database: pykyro.Database | pykyro.Client, collection: str = "default", *, allow_writes: bool = False
) -> MCPServer[Any]:
    """A server of the Model Context Protocol on a database. Tools that are told no collection use `collection`; tools
    that change documents are there with `allow_writes` only."""
    what = "reads and writes" if allow_writes else "reads"
    server: MCPServer[Any] = MCPServer(
        "kyrodb",
        title="KyroDB",
        version=pykyro.__version__,
        instructions=f"A vector database. This server {what} documents: an id, a vector and metadata. Begin with "
        "list_collections; use scroll to see what documents look like, search_like to find neighbours of one of "
        "them, search_text where a collection has text_keys, search where you have a vector.",
        log_level="WARNING",
    )
    tools = WriteTools(database, collection) if allow_writes else ReadTools(database, collection)
    for tool in _READS:
        server.add_tool(getattr(tools, tool), annotations=_READING)
    for tool in _WRITES if allow_writes else ():
        server.add_tool(getattr(tools, tool), annotations=_WRITING)
    return server
