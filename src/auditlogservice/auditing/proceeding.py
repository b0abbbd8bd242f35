"""The way through a source: its checkpoint, its stretches, its tiles, and another look at the end.

A log goes on while it is audited, and records are erased meanwhile. So what could be explained by
that is looked at again, and where a tombstone may be behind the checkpoint, the audit goes on to
a newer one, whose tree it then has built too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from auditlogservice.auditing.audit import Audit, Landmark
from auditlogservice.auditing.findings import Fault, Finding, Report
from auditlogservice.checkpoints import Checkpoint, open_checkpoint
from auditlogservice.errors import InputRefused, ProofInvalid
from auditlogservice.merkle import HASH_BYTES
from auditlogservice.notes import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditlogservice.auditing.audit import Stretch
    from auditlogservice.notes import VerifierKey
    from auditlogservice.tiles import Tile

    Progress: TypeAlias = Callable[[int, int], object]
    Wait: TypeAlias = Callable[[], bool]

_NO_CHECKPOINT = (
    "there is no checkpoint of this log: it is not here, or not for this user, or not signed yet"
)
MAX_LOOKS = 1_000  # at single places, at the end
MAX_ROUNDS = 10  # to newer checkpoints; each has little more than a second of the log in it


class Source(Protocol):
    """Where a log is read. What is not there is empty or None, and never an error."""

    def checkpoint(self) -> bytes:
        """Return the signed note as it is now."""
        ...

    def size(self) -> int:
        """Return how many records there are now, as far as can be told."""
        ...

    def stretches(self, first: int, end: int) -> Iterator[Stretch]:
        """Yield the places from `first` to before `end`, cut where a tile of level 0 ends."""
        ...

    def tile(self, tile: Tile, width: int) -> bytes: ...

    def has_content(self, place: int) -> bool:
        """Look again: whether there is a payload or a salt now."""
        ...

    def findings(self) -> list[Finding]:
        """Return what was wrong with the source itself, so far."""
        ...


def audit(
    source: Source,
    *,
    keys: Sequence[VerifierKey],
    since: Checkpoint | None = None,
    progress: Progress = lambda _done, _all: None,
    wait: Wait | None = None,
) -> tuple[Report, bytes]:
    """Return the report, and the checkpoint's note that it speaks of.

    Any of the keys may have signed it; without one the checkpoint is believed as it stands.
    `wait` lets time pass for a checkpoint that is late, and says whether there was any left;
    without it nothing is said of records that no checkpoint covers, but how many there are.
    Nothing is raised for what is wrong with the log; only a source that cannot be read raises.
    """
    report = Report()
    work = Audit(report)
    note = source.checkpoint()
    checkpoint = _opened(note, keys, report)
    there = source.size() if checkpoint is None or wait else 0
    end = there if checkpoint is None else checkpoint.size
    if not keys and end > (there := source.size()):
        # A size that nobody signed may be any number: so far nobody walks.
        _say_shrunk(report, end, there)
        end = there
    if since is not None:
        _expect_before(work, since, end)
    if checkpoint is not None:
        work.expect(_landmark(checkpoint))
    _walk(source, work, end, progress)
    for _ in range(MAX_ROUNDS):
        if checkpoint is None or not work.waits():
            break
        later = source.checkpoint()
        newer = _opened(later, keys, Report())
        if newer is None or newer.size <= checkpoint.size:
            break
        note, checkpoint = later, newer
        work.expect(_landmark(newer))
        _walk(source, work, newer.size, progress)
    _end(source, work)
    report.origin = checkpoint.origin if checkpoint else ""
    report.size, report.root = work.size, work.root
    report.behind = max(0, source.size() - work.size)
    if checkpoint is not None and wait is not None:
        _expect_signed(source, report, there, checkpoint.size, keys, wait)
    return report, note


def read_checkpoint(note: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Return the checkpoint that one of the keys signed.

    Raises MalformedInput, or ProofInvalid if none of them did.
    """
    parsed = Note.parse(note)
    flaws = []
    for key in keys:
        try:
            return open_checkpoint(parsed, key)[0]
        except ProofInvalid as error:
            flaws.append(error)
    raise flaws[0] if flaws else ProofInvalid("there is no key to verify this with")


def _walk(source: Source, work: Audit, end: int, progress: Progress) -> None:
    for stretch in source.stretches(work.size, end):
        for tile, expected in work.add(stretch).items():
            found = source.tile(tile, len(expected) // HASH_BYTES)
            work.check(tile, found=found, expected=expected)
        progress(work.size, end)


def _end(source: Source, work: Audit) -> None:
    """Look at what the end of the log decides."""
    for tile, expected in work.partial().items():
        found = source.tile(tile, len(expected) // HASH_BYTES)
        work.check(tile, found=found, expected=expected)
    for place in work.buried()[:MAX_LOOKS]:
        if not source.has_content(place):
            work.gone(place)
    work.finish()
    for finding in source.findings():
        work.report.add(finding)


def _expect_signed(
    source: Source,
    report: Report,
    there: int,
    signed: int,
    keys: Sequence[VerifierKey],
    wait: Wait,
) -> None:
    """Look for a checkpoint over the `there` records that were there at the start.

    That needs no clock of the server's, nor a date that it tells: what it had when the audit
    began is to be signed by now.
    """
    while signed < there:
        newer = _opened(source.checkpoint(), keys, Report())
        signed = max(signed, newer.size if newer else 0)
        if signed < there and not wait():
            report.unsigned = there - signed
            detail = (
                f"{report.unsigned:,} records that were there when this began are still not "
                "covered by a checkpoint: the log is not signed any more, or late"
            )
            report.add(Finding(Fault.UNSIGNED, detail))
            return


def _opened(note: bytes, keys: Sequence[VerifierKey], report: Report) -> Checkpoint | None:
    """Return the checkpoint; None if it is not one to be believed, which is reported."""
    if not note and not keys:
        return None
    try:
        return read_checkpoint(note, keys) if keys else Checkpoint.parse(Note.parse(note).text)
    except (InputRefused, ProofInvalid) as error:
        detail = str(error) if note else _NO_CHECKPOINT
        report.add(Finding(Fault.CHECKPOINT, detail))
        return None


def _landmark(checkpoint: Checkpoint) -> Landmark:
    detail = f"the tree of {checkpoint.size:,} records is not the one that was signed"
    return Landmark(checkpoint.size, checkpoint.root, Fault.ROOT, detail)


def _expect_before(work: Audit, since: Checkpoint, end: int) -> None:
    if since.size > end:
        _say_shrunk(work.report, since.size, end)
        return
    detail = f"the first {since.size:,} records are not what they were before"
    work.expect(Landmark(since.size, since.root, Fault.REWRITTEN, detail))


def _say_shrunk(report: Report, before: int, now: int) -> None:
    detail = f"the log had {before:,} records before, and has {now:,} now"
    report.add(Finding(Fault.SHRUNK, detail))
