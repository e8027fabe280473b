"""What holds for every test."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _logging_is_on() -> None:
    """A rig that silences logging in its own process must not silence the tests that come after it."""
    logging.disable(logging.NOTSET)
