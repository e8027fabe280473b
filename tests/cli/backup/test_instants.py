"""Instants as people write them, and that no message recommends what is refused."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.backup.history.timeline import instant
from pykyro.cli.backup.instants import parse_instant

NOON_S = 1_796_040_000  # 2026-11-30T12:00:00Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-30T12:00:00Z", NOON_S),
        ("2026-11-30t12:00:00z", NOON_S),
        ("2026-11-30 12:00:00Z", NOON_S),
        ("2026-11-30 12:00:00 UTC", NOON_S),
        ("2026-11-30T12:00Z", NOON_S),
        ("2026-11-30T14:00:00+02:00", NOON_S),
        ("2026-11-30T06:30:00-0530", NOON_S),
        ("2026-11-30 14:00:00+02", NOON_S),
        ("2026-11-30T12:00:00-00:00", NOON_S),
        ("2026-11-30T12:00:00.5Z", NOON_S + 0.5),
        ("2026-11-30T12:00:00,25z", NOON_S + 0.25),
        ("2026-11-30T12:00:00.123456789+00:00", NOON_S + 0.123456),
        ("2026-11-30T11:59:60Z", NOON_S),
        ("2016-12-31T23:59:60Z", 1_483_228_800),
        ("20261130T120000Z", NOON_S),
        (f" {NOON_S} ", NOON_S),
        (f"{NOON_S}.25", NOON_S + 0.25),
        ("0", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ],
)
def test_forms_that_are_understood(text: str, seconds: float) -> None:
    assert parse_instant(text) == round(seconds * 1_000_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-29", "write 2026-11-29T00:00:00Z for its beginning"),
        ("2026-11-29Z", "write 2026-11-29T00:00:00Z for its beginning"),
        ("2026-11-29+02:00", "write 2026-11-29T00:00:00Z for its beginning"),
        ("2026-11-29T12:00:00", "write 2026-11-29T12:00:00Z for UTC"),
        ("2026-11-29 12:00", "write 2026-11-29T12:00:00Z for UTC"),
        ("2026-02-30", "not a day"),
        ("2026-02-30T12:00:00Z", "day"),
        ("2026-11-29T25:00:00Z", "hour"),
        ("2026-11-29T12:60:00Z", "minute"),
        ("2026-11-29T12:00:61Z", "second"),
        ("2026-11-29T12:00:00+25:00", "25 hours"),
        ("2026-11-29T12:00:00+01:99", "offset"),
        ("1969-12-31T23:59:59Z", "outside"),
        ("1969-12-31T23:59:59", "outside"),
        ("1969-12-31", "outside"),
        ("1969-12-31Z", "outside"),
        ("0000-01-01T00:00:00Z", "year"),
        ("-1", "outside"),
        ("1e30", "outside"),
        ("nan", "not an instant"),
        ("inf", "not an instant"),
        ("yesterday", "not an instant"),
        ("", "not an instant"),
        ("2026-11-29T12:00:00Europe/Berlin", "not an instant"),
        ("\u0662\u0660\u0662\u0666-11-29T12:00:00Z", "not an instant"),
    ],
)
def test_forms_that_are_not_are_told_a_form_that_is(text: str, told: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        parse_instant(text)
    assert told in str(refused.value)
    recommended = re.findall(r"(?:write|like) (?:it like )?([0-9][^\s;,]*)", str(refused.value))
    assert recommended or "Unix seconds" in str(refused.value)
    for form in recommended:
        parse_instant(form)


@given(st.integers(0, 253_402_300_799))
def test_what_messages_print_is_understood(second: int) -> None:
    assert parse_instant(instant(second * 1_000_000)) == second * 1_000_000


@given(
    st.datetimes(datetime.datetime(1970, 1, 3), datetime.datetime(9999, 12, 29)),
    st.integers(-23 * 60, 23 * 60),
    st.sampled_from("Tt "),
)
def test_any_offset_means_the_same_instant(moment: datetime.datetime, minutes: int, between: str) -> None:
    here = moment.replace(tzinfo=datetime.UTC)
    there = here.astimezone(datetime.timezone(datetime.timedelta(minutes=minutes)))
    expected = (here - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(
        microseconds=1
    )
    assert parse_instant(there.isoformat(between)) == expected


@given(st.text(max_size=40))
def test_any_text_is_an_instant_or_refused(text: str) -> None:
    with contextlib.suppress(argparse.ArgumentTypeError):
        parse_instant(text)


@pytest.mark.parametrize("time_us", [-(2**70), 2**63, 2**90])
def test_time_out_of_this_world_can_be_printed(time_us: int) -> None:
    assert instant(time_us).endswith("after 1970")
