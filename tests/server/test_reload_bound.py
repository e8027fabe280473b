"""A reload whose files never come, as on a network file system that hangs."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pykyro.config import Loaded, Settings
from pykyro.model.errors import ConfigError
from pykyro.server import reload
from pykyro.server.reload import Reload
from pykyro.service.server_state import ServerState


def test_it_is_given_up_and_the_next_one_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "RELOAD_S_MAX", 0.05)
    server_state = ServerState(Settings())
    came = threading.Event()
    tries: list[None] = []
    nothing: Any = None

    def load_again() -> Loaded:
        tries.append(None)
        if len(tries) <= reload._HANGING_MAX:
            came.wait(60)
        raise ConfigError("server.port = 0: too small")

    async def story() -> None:
        reloading = Reload(server_state, nothing, nothing, load_again)
        for _ in range(reload._HANGING_MAX):
            await reloading.work()
            assert "could not be read within" in server_state.config_fault
        # Each keeps a thread, so there is an end to it; once the files come it goes on.
        await reloading.work()
        assert "still wait for a file" in server_state.config_fault
        came.set()
        while "too small" not in server_state.config_fault:
            await asyncio.sleep(0.01)
            await reloading.work()

    asyncio.run(story())


def test_the_loop_can_end_while_one_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "RELOAD_S_MAX", 0.05)
    server_state = ServerState(Settings())
    came = threading.Event()
    nothing: Any = None

    def load_again() -> Loaded:
        came.wait(60)
        raise ConfigError("too late")

    asyncio.run(Reload(server_state, nothing, nothing, load_again).work())
    assert not came.is_set()
    came.set()
