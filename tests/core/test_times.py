"""Times as text: fixed width, ordered like time, exact to the microsecond."""

import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import InvalidValueError
from datastore.times import expiry, format_time, parse_time, parse_times, text_of

moments = st.integers(0, 4_000_000_000_000_000).map(lambda micros: micros / 1_000_000)


@given(moments)
def test_a_time_is_rfc_3339_in_utc_with_microseconds(seconds):
    written = format_time(seconds)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", written)
    parsed = parse_time(written)
    assert parsed.utcoffset() == datetime.timedelta(0)
    assert abs(parsed.timestamp() - seconds) < 2e-6


@given(moments, moments)
def test_times_compare_as_text(one, other):
    assert (format_time(one) < format_time(other)) == (parse_time(format_time(one)) < parse_time(format_time(other)))


def test_a_second_that_is_almost_over_is_rounded_up_into_the_next():
    assert format_time(0.9999999) == "1970-01-01T00:00:01.000000Z"


@pytest.mark.parametrize("ttl", [90, 90.0, datetime.timedelta(minutes=1, seconds=30)])
def test_a_ttl_is_seconds_or_a_timedelta(ttl):
    assert expiry(ttl, 0) == "1970-01-01T00:01:30.000000Z"


def test_the_smallest_ttl_ends_after_now():
    assert expiry(1e-9, 1_700_000_000) > format_time(1_700_000_000)


@pytest.mark.parametrize(
    ("ttl", "words"),
    [
        (0, "greater than zero"),
        (-1, "greater than zero"),
        (datetime.timedelta(0), "greater than zero"),
        (float("nan"), "greater than zero and finite"),
        (float("inf"), "greater than zero and finite"),
        (1e12, "beyond the year 9999"),
        (datetime.timedelta.max, "beyond the year 9999"),
        (True, "ttl is a bool"),
        ("60", "ttl is a str"),
    ],
)
def test_a_wrong_ttl_is_refused(ttl, words):
    with pytest.raises(InvalidValueError, match=words):
        expiry(ttl, 1_700_000_000)


@given(st.lists(st.datetimes(timezones=st.just(datetime.UTC)).map(text_of), max_size=5))
def test_several_times_are_parsed_as_one_by_one(texts):
    assert parse_times(texts) == {text: parse_time(text) for text in texts}


@given(
    st.lists(
        st.from_regex(r"\A20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:00:00[.,][0-9]{6}[Z0]\Z"), min_size=1, max_size=3
    )
)
def test_several_texts_are_refused_as_one_by_one(texts):
    try:
        expected = {text: parse_time(text) for text in texts}
    except ValueError:
        with pytest.raises(ValueError):
            parse_times(texts)
    else:
        assert parse_times(texts) == expected


@pytest.mark.parametrize(
    "texts",
    [
        ["2026-01-31T12:00:00.000000", "Z2026-01-31T12:00:00.000000Z"],
        ["2026-01-31T12:00:00.000000Z2", "026-01-31T12:00:00.000000Z"],
        ["2026-W05-6T12:00:00.000000Z"],
        ["2026-02-30T12:00:00.000000Z"],
        ["٢026-01-31T12:00:00.000000Z"],
        [""],
        ["2026-01-31T12:00:00.000000Z", ""],
    ],
)
def test_what_only_looks_like_times_together_is_refused(texts):
    with pytest.raises(ValueError):
        parse_times(texts)
