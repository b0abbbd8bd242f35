"""Moments come in as RFC 3339 and go out in one spelling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.times import (
    format_micros,
    format_utc,
    from_micros,
    parse_rfc3339,
    to_micros,
)

zones = st.integers(-1_439, 1_439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)  # noqa: DTZ001 - hypothesis adds the zone


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T23:59:59Z", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-31t23:59:59z", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-31T23:59:59+00:00", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-31T23:59:59-00:00", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-02-01T01:29:59+01:30", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-31T00:00:59-23:59", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-31T23:59:59.5Z", datetime(2026, 1, 31, 23, 59, 59, 500_000, tzinfo=UTC)),
        ("2026-01-31T23:59:59.000001Z", datetime(2026, 1, 31, 23, 59, 59, 1, tzinfo=UTC)),
        ("2026-01-31T23:59:59.9999999Z", datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        (f"2026-01-31T23:59:59.{'0' * 900}9Z", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("2016-12-31T15:59:60.2-08:00", datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_date_time_with_an_offset_is_one_moment(text: str, moment: datetime) -> None:
    assert parse_rfc3339(text) == moment
    assert parse_rfc3339(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "1769903999", "2026-01-31", "23:59:59Z", "2026-01-31T23:59Z",
        "2026-01-31T23:59:59", "2026-01-31T23:59:59.Z", "2026-01-31T23:59:59,5Z",
        "2026-01-31 23:59:59Z", "2026-01-31T23:59:59 Z", " 2026-01-31T23:59:59Z",
        "2026-01-31T23:59:59Z\n", "2026-01-31T23:59:59+01", "2026-01-31T23:59:59+0100",
        "2026-01-31T23:59:59UTC", "2026-01-31T23:59:59z+01:00", "20260131T235959Z",
        "2026-W05-6T23:59:59Z", "2026-W05-6", "2026-031T23:59:59Z", "02026-01-31T23:59:59Z",
        "-026-01-31T23:59:59Z", "\uff12026-01-31T23:59:59Z", "2026-01-31T23:59:59\u221201:00",
        "2026-01-31T23:59:59+1:00",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_date_time_with_an_offset_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="2026-01-31T23:59:59Z"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "0000-01-01T00:00:00Z",
        "2026-01-31T24:00:00Z", "2026-01-31T23:60:00Z", "2026-01-31T23:59:61Z",
        "2026-01-31T23:59:59+24:00", "2026-01-31T23:59:59+01:60", "2026-01-31T23:59:59-99:99",
        "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01",
    ],
)  # fmt: skip
def test_a_day_an_hour_or_an_offset_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:58:60Z", "2016-12-31T23:59:60+01:00", "2016-12-31T12:59:60Z"]
)
def test_a_leap_second_ends_a_day_in_utc(text: str) -> None:
    with pytest.raises(ValueError, match="23:59 UTC"):
        parse_rfc3339(text)


def _two(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most) | st.integers(0, 99)


@given(
    day=st.tuples(st.integers(0, 9999) | st.sampled_from([0, 1, 9999]), _two(12), _two(31)),
    time=st.tuples(_two(23), _two(59), _two(59).filter(lambda second: second != 60)),
    fraction=st.from_regex(r"(\.[0-9]{1,9})?", fullmatch=True),
    offset=st.tuples(st.sampled_from([1, -1]), _two(23), _two(59)),
)
def test_a_moment_is_what_its_numbers_say(
    day: tuple[int, int, int],
    time: tuple[int, int, int],
    fraction: str,
    offset: tuple[int, int, int],
) -> None:
    sign, hours, minutes = offset
    text = "{:04}-{:02}-{:02}T".format(*day) + "{:02}:{:02}:{:02}".format(*time)
    text += f"{fraction}{'+' if sign > 0 else '-'}{hours:02}:{minutes:02}"
    micros = int(fraction[1:7].ljust(6, "0"))
    try:
        zone = timezone(sign * timedelta(hours=hours, minutes=minutes if minutes < 60 else 9_999))
        moment = datetime(*day, *time, micros, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        with pytest.raises(ValueError, match="does not exist"):
            parse_rfc3339(text)
    else:
        assert parse_rfc3339(text) == moment


@given(moments)
def test_what_is_written_reads_back_as_the_same_moment(moment: datetime) -> None:
    assert parse_rfc3339(format_utc(moment)) == moment


@given(moments, zones)
def test_a_moment_has_one_spelling_in_every_zone(moment: datetime, zone: timezone) -> None:
    spelled = format_utc(moment)
    assert format_utc(moment.astimezone(zone)) == spelled
    assert format_utc(parse_rfc3339(moment.astimezone(zone).isoformat())) == spelled
    assert len(spelled) == len("2026-01-31T23:59:59.000000Z")


@given(moments, moments)
def test_spellings_sort_as_the_moments_do(one: datetime, other: datetime) -> None:
    assert (format_utc(one) < format_utc(other)) == (one < other)


def test_the_spelling_is_utc_with_microseconds() -> None:
    moment = datetime(2026, 2, 1, 1, 0, tzinfo=timezone(timedelta(hours=1)))
    assert format_utc(moment) == "2026-02-01T00:00:00.000000Z"


@given(moments)
def test_microseconds_since_1970_are_exact(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


def test_microseconds_count_from_1970() -> None:
    assert to_micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
    assert to_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_are_spelled_as_their_moment_is(moment: datetime) -> None:
    assert format_micros(to_micros(moment)) == format_utc(moment)
