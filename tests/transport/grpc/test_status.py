"""Each error a caller can act on has its own gRPC status."""

from __future__ import annotations

import logging

import grpc
import pytest
from tests.server.calls import running_call

from pykyro.model import errors
from pykyro.model.errors import CallError
from pykyro.transport.grpc.status import CODES, status_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgument("x"), "INVALID_ARGUMENT"),
        (errors.ResourceExhausted("x"), "RESOURCE_EXHAUSTED"),
        (errors.FailedPrecondition("x"), "FAILED_PRECONDITION"),
        (errors.PermissionDenied("x"), "PERMISSION_DENIED"),
        (errors.Unauthenticated("x"), "UNAUTHENTICATED"),
        (errors.DeadlineExceeded("x"), "DEADLINE_EXCEEDED"),
        (errors.Unavailable("x"), "UNAVAILABLE"),
        (errors.WriteFailed("x", path="f"), "UNAVAILABLE"),
        (errors.DataDamaged("x", path="f", offset=3), "DATA_LOSS"),
        (errors.DataDirInUse("x", path="f", owner_pid=1), "FAILED_PRECONDITION"),
    ],
)
def test_status_of_each_error(error: errors.KyroError, code: str) -> None:
    status = status_of(error, running_call("Insert"))
    assert status.code is grpc.StatusCode[code]
    assert status.text == str(error)


def test_every_class_of_the_error_tree_has_a_status() -> None:
    tree = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert {kind for kind in tree if issubclass(kind, errors.KyroError)} == set(CODES)


def test_client_reads_what_the_call_was_doing() -> None:
    status = status_of(CallError("Insert failed", errors.Unavailable("disk is full")), running_call("Insert"))
    assert status.code is grpc.StatusCode.UNAVAILABLE
    assert status.text == "Insert failed: disk is full"


def test_refusal_that_waiting_cures_says_how_long() -> None:
    refusal = errors.ResourceExhausted("rate limit exceeded", retry_after_s=0.0201)
    assert status_of(refusal, running_call("Search")).trailing_metadata == (("retry-after-ms", "21"),)
    assert status_of(CallError("Search rejected", refusal), running_call("Search")).trailing_metadata == (
        ("retry-after-ms", "21"),
    )
    assert status_of(errors.ResourceExhausted("full"), running_call("Insert")).trailing_metadata == ()


def test_unforeseen_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        status = status_of(ZeroDivisionError("secret path /x"), running_call("Search"))
    assert status.code is grpc.StatusCode.INTERNAL
    assert "secret" not in status.text
    assert caplog.records[0].exc_info is not None
    assert "Search" in caplog.text
