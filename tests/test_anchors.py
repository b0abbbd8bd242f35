"""What others said of checkpoints: how it is put together, spelled, and thinned out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.anchors import Timestamp, newest, read_timestamp, superfluous
from auditlogservice.checkpoints import Checkpoint
from auditlogservice.notes import Note, SigningKey
from witnesses import OTHER_WITNESS, WITNESS

LOG = SigningKey("log.example/ledger/acme", b"s" * 32)
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def cosigned(size: int, *witnesses: SigningKey) -> Note:
    text = Checkpoint(LOG.name, size, bytes([size]) * 32).text
    return Note(text, (LOG.sign(text), *(each.cosign(text, at=size) for each in witnesses)))


def stamped(time: datetime, size: int = 1, reply: bytes = b"reply") -> Timestamp:
    return Timestamp(size=size, time=time, note=NOTE, reply=reply)


NOTE = cosigned(1).to_bytes()

# ---- cosignatures -----------------------------------------------------------------------


def test_cosignatures_of_one_checkpoint_are_one_note() -> None:
    both = cosigned(2, WITNESS, OTHER_WITNESS)
    assert newest([cosigned(2, WITNESS), cosigned(2, OTHER_WITNESS)]) == both


def test_the_note_of_the_largest_tree_stands_without_cosignatures_of_smaller_ones() -> None:
    ahead = cosigned(3, OTHER_WITNESS)
    assert newest([cosigned(2, WITNESS), ahead, cosigned(1, WITNESS)]) == ahead


def test_of_no_notes_none_is_the_newest() -> None:
    assert newest([]) is None


# ---- timestamps -------------------------------------------------------------------------


@given(
    st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),  # noqa: DTZ001
    st.integers(1, 2**63 - 1),
    st.binary(max_size=50),
)
def test_a_timestamp_that_is_written_can_be_read(time: datetime, size: int, reply: bytes) -> None:
    timestamp = stamped(time, size, reply)
    assert read_timestamp(timestamp.to_body()) == timestamp


def hours_ago(*hours: int) -> list[Timestamp]:
    return [stamped(NOW - timedelta(hours=each), -each) for each in hours]


def left(timestamps: list[Timestamp]) -> list[Timestamp]:
    spare = {each.size for each in superfluous(timestamps, now=NOW)}
    return [each for each in timestamps if each.size not in spare]


def test_all_timestamps_of_the_last_day_are_kept() -> None:
    hourly = hours_ago(*range(23, -1, -1))
    assert left(hourly) == hourly


def test_of_each_earlier_day_the_first_timestamp_is_kept() -> None:
    (first, _, next_day) = earlier = hours_ago(60, 50, 36)
    assert [each.time.day for each in earlier] == [29, 29, 30]
    assert left(earlier) == [first, next_day]


def test_of_each_month_more_than_a_year_ago_the_first_timestamp_is_kept() -> None:
    days = [stamped(datetime(2025, 5, day, tzinfo=UTC), day) for day in range(1, 31)]
    assert left([*days, stamped(NOW, 99)]) == [days[0], stamped(NOW, 99)]


def test_ten_years_of_hours_leave_some_hundreds_of_timestamps() -> None:
    hourly = hours_ago(*range(10 * 365 * 24, -1, -1))
    kept = left(hourly)
    assert (kept[0], kept[-1]) == (hourly[0], hourly[-1])
    assert 24 + 364 + 9 * 12 <= len(kept) <= 25 + 366 + 9 * 12 + 2
    assert left(kept) == kept
