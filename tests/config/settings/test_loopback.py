from __future__ import annotations

import pytest

from pykyro.config import is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LocalHost", " localhost ", "127.0.0.1", "127.1.2.3", "127.255.255.255", "::1", "[::1]",
        "::1%lo", "[::1%lo]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1",
    ],
)  # fmt: skip
def test_addresses_of_this_machine_are_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0", "::", "[::]", "128.0.0.1", "126.255.255.255", "::2", "fe80::1%lo", "::ffff:10.0.0.1",
        "127.example.org", "localhost.example.org", "127.0.0.1.", "", "[]", "[::1",
    ],
)  # fmt: skip
def test_everything_else_is_not(host: str) -> None:
    assert not is_loopback(host)
