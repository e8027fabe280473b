"""Calls that nobody made."""

from __future__ import annotations

from collections.abc import Iterable

from pykyro.service.call_log import RunningCall


class Sent:
    """What a client sent along, and from where."""

    def __init__(self, *metadata: tuple[str, str | bytes], peer: str = "ipv4:127.0.0.1:1") -> None:
        self._metadata = metadata
        self._peer = peer

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        return self._metadata

    def peer(self) -> str:
        return self._peer


def running_call(rpc: str, *metadata: tuple[str, str | bytes]) -> RunningCall:
    """A call of `rpc` that is being served."""
    return RunningCall(rpc, Sent(*metadata))
