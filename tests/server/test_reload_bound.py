"""A reload whose files never come, as on a network file system that hangs."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from kyrodb.config import Loaded, Settings
from kyrodb.errors import ConfigError
from kyrodb.server import reload
from kyrodb.server.reload import Reload
from kyrodb.server.vitals import Vitals


def test_it_is_given_up_and_the_next_one_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "RELOAD_S_MAX", 0.05)
    vitals = Vitals(Settings())
    came = threading.Event()
    tries: list[None] = []
    nothing: Any = None

    def load_again() -> Loaded:
        tries.append(None)
        if len(tries) <= reload._HANGING_MAX:
            came.wait(60)
        raise ConfigError("server.port = 0: too small")

    async def story() -> None:
        reloading = Reload(vitals, nothing, nothing, load_again)
        for _ in range(reload._HANGING_MAX):
            await reloading.work()
            assert "could not be read within" in vitals.config_fault
        # Each keeps a thread, so there is an end to it; once the files come it goes on.
        await reloading.work()
        assert "still wait for a file" in vitals.config_fault
        came.set()
        while "too small" not in vitals.config_fault:
            await asyncio.sleep(0.01)
            await reloading.work()

    asyncio.run(story())


def test_the_loop_can_end_while_one_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "RELOAD_S_MAX", 0.05)
    vitals = Vitals(Settings())
    came = threading.Event()
    nothing: Any = None

    def load_again() -> Loaded:
        came.wait(60)
        raise ConfigError("too late")

    asyncio.run(Reload(vitals, nothing, nothing, load_again).work())
    assert not came.is_set()
    came.set()
