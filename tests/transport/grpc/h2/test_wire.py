"""Deadlines, metadata and statuses, as they stand in headers."""

from __future__ import annotations

import grpc
import pytest

from pykyro.transport.grpc.h2.wire import escaped, metadata_of, size_of, status_trailers, timeout_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"2H", 7200.0),
        (b"3M", 180.0),
        (b"5S", 5.0),
        (b"250m", 0.25),
        (b"99999999u", 99.999999),
        (b"7n", 7e-9),
        (b"0m", 0.0),
    ],
)
def test_timeouts(text: bytes, seconds: float) -> None:
    assert timeout_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [b"", b"S", b"5", b"-1S", b"1.5S", b"123456789S", b"5s", b"5 S", b"\xb2S"])
def test_what_is_no_timeout(text: bytes) -> None:
    assert timeout_s(text) is None


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("plain text, with: signs!", b"plain text, with: signs!"),
        ("100 %", b"100 %25"),
        ("two\nlines", b"two%0Alines"),
        ("größer", b"gr%C3%B6%C3%9Fer"),
        ("\x7f", b"%7F"),
    ],
)
def test_status_messages_are_escaped(text: str, wire: bytes) -> None:
    assert escaped(text) == wire


def test_binary_metadata_is_decoded_and_what_is_none_stays_away() -> None:
    headers = [(b"x", b"caf\xe9"), (b"a-bin", b"AAE"), (b"b-bin", b"AAE="), (b"c-bin", b"not base64!")]
    assert metadata_of(headers) == (("x", "café"), ("a-bin", b"\0\1"), ("b-bin", b"\0\1"))


def test_a_status_with_metadata() -> None:
    metadata = (("retry-after-ms", "250"), ("more-bin", b"\0\1"))
    event = status_trailers(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room", metadata)
    assert event["headers"] == [
        (b"grpc-status", b"8"),
        (b"grpc-message", b"no room"),
        (b"retry-after-ms", b"250"),
        (b"more-bin", b"AAE"),
    ]


def test_headers_count_as_http2_says() -> None:
    assert size_of([(b"ab", b"cde"), (b"", b"")]) == 5 + 64
