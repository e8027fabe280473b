"""What the server means by a status is what the client understands."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tests.server.calls import running_call

from pykyro.client.status import error_of
from pykyro.model import errors
from pykyro.transport.grpc.status import Status, status_of


class Ended(grpc.RpcError):
    """A call that ended with this status."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def code(self) -> grpc.StatusCode:
        return self._status.code

    def details(self) -> str:
        return self._status.text

    def trailing_metadata(self) -> Any:
        return self._status.trailing_metadata


def received(error: errors.KyroError) -> errors.KyroError:
    return error_of(Ended(status_of(error, running_call("Search"))))


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidArgument("k must be >= 1", field="k"),
        errors.ResourceExhausted("full"),
        errors.FailedPrecondition("not now"),
        errors.PermissionDenied("admin only"),
        errors.Unauthenticated("missing api key"),
        errors.DeadlineExceeded("late"),
        errors.Unavailable("closing"),
    ],
)
def test_an_error_of_the_server_is_the_clients(error: errors.KyroError) -> None:
    there = received(error)
    assert type(there) is type(error)
    assert str(there) == str(error)


def test_the_hint_to_wait_arrives() -> None:
    there = received(errors.ResourceExhausted("busy", retry_after_s=1.25))
    assert isinstance(there, errors.ResourceExhausted)
    assert there.retry_after_s == 1.25


def test_trouble_with_the_disk_is_worth_another_try_and_damage_is_not() -> None:
    assert type(received(errors.WriteFailed("no space", path="wal"))) is errors.Unavailable
    assert type(received(errors.DataDamaged("checksum", path="seg"))) is errors.KyroError
