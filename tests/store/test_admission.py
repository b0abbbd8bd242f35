"""Admission decides without I/O: heads and what is known in, entries and outcomes out."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from answers import outcomes_of
from auditlogservice.events import Erasure, EventId, Record, Sequence
from auditlogservice.store.admission import Admission, Head, Known, admit, keyed_ids
from auditlogservice.store.port import Appended, KeyConflict, Replayed, Submission, Withdrawn
from strategies import NOON, draft, told

SECOND = timedelta(seconds=1)
OTHER = told("another event")


def admitted(
    *submissions: Submission, known: dict[EventId, Known] | None = None, head: Head | None = None
) -> Admission:
    heads = {"acme": head} if head else {}
    return admit(submissions, known=known or {}, heads=heads)


def sequences(admission: Admission) -> list[int]:
    return [entry.record.sequence for entry in admission.entries]


def _gone(event_id: EventId) -> Erasure:
    return Erasure(id=event_id, sequence=Sequence(3), erased_at=NOON, erased_by="bob", reason=None)


def kinds(admission: Admission) -> list[list[type]]:
    return [[type(outcome) for outcome in group] for group in outcomes_of(admission.answers)]


def test_only_keyed_drafts_may_be_known() -> None:
    keyed = draft(key="k")
    assert keyed_ids([Submission((draft(), keyed)), Submission(())]) == [keyed.id]


def test_an_unknown_log_begins_at_zero() -> None:
    admission = admitted(Submission((draft(), draft())))
    assert sequences(admission) == [0, 1]
    head = admission.heads["acme"]
    assert (head.next, head.timestamp) == (2, NOON)


def test_a_log_goes_on_after_its_head() -> None:
    before = admitted(Submission(tuple(draft() for _ in range(7)))).heads["acme"]
    admission = admitted(Submission((draft(),)), head=before)
    assert sequences(admission) == [7]
    assert admission.heads["acme"].next == 8


def test_a_timestamp_is_the_later_of_arrival_and_the_last_one() -> None:
    head = admitted(Submission((draft(at=NOON),))).heads["acme"]
    moments = (NOON - SECOND, NOON + SECOND, NOON)
    admission = admitted(Submission(tuple(draft(at=one) for one in moments)), head=head)
    assert [entry.timestamp for entry in admission.entries] == [NOON, NOON + SECOND, NOON + SECOND]
    assert [entry.record.payload for entry in admission.entries] == [
        entry.draft.payload(entry.timestamp) for entry in admission.entries
    ]


def test_each_tenant_has_a_log_of_its_own() -> None:
    admission = admitted(
        Submission((draft(tenant="acme"),)),
        Submission((draft(tenant="other"),)),
        Submission((draft(tenant="acme"),)),
    )
    assert sequences(admission) == [0, 0, 1]


def test_a_known_key_is_replayed_or_refused_and_takes_no_place() -> None:
    sent = draft(key="k")
    kept = Record(id=sent.id, sequence=Sequence(3), payload=b"{}")
    known = {sent.id: Known(sent.fingerprint, kept)}
    admission = admitted(Submission((sent, draft(OTHER, key="k"), draft())), known=known)
    assert outcomes_of(admission.answers)[0][:2] == (Replayed(kept), KeyConflict())
    assert sequences(admission) == [0]


def test_a_key_of_what_was_erased_is_replayed_whatever_event_comes_under_it() -> None:
    """Of what was erased no fingerprint is left, which could tell that a guess is right."""
    sent = draft(key="k")
    known = {sent.id: Known(None, _gone(sent.id))}
    admission = admitted(Submission((sent, draft(OTHER, key="k"), draft())), known=known)
    assert outcomes_of(admission.answers)[0][:2] == (
        Replayed(_gone(sent.id)),
        Replayed(_gone(sent.id)),
    )
    assert sequences(admission) == [0]


def test_a_key_of_what_was_erased_withdraws_the_rest_of_an_atomic_submission() -> None:
    sent = draft(key="k")
    known = {sent.id: Known(None, _gone(sent.id))}
    admission = admitted(Submission((draft(), sent), atomic=True), known=known)
    assert admission.answers == [(Withdrawn(), Replayed(_gone(sent.id)))]
    assert admission.entries == []


def test_a_key_counts_between_submissions() -> None:
    admission = admitted(
        Submission((draft(key="k"),)), Submission((draft(key="k"), draft(OTHER, key="k")))
    )
    assert kinds(admission) == [[Appended], [Replayed, KeyConflict]]


def test_a_conflict_undoes_an_atomic_submission_and_nothing_else() -> None:
    admission = admitted(
        Submission((draft(key="kept"),)),
        Submission((draft(key="new"), draft(OTHER, key="kept"), draft(key="kept")), atomic=True),
        Submission((draft(OTHER, key="new"),)),
    )
    # The key of the withdrawn draft is free again, so another event may take it.
    assert kinds(admission) == [[Appended], [Withdrawn, KeyConflict, Replayed], [Appended]]
    assert sequences(admission) == [0, 1]
    assert admission.heads["acme"].next == 2


def test_a_key_twice_in_a_withdrawn_submission_is_withdrawn_twice() -> None:
    taken = draft(key="taken")
    admission = admitted(
        Submission((taken,)),
        Submission((draft(key="k"), draft(key="k"), draft(OTHER, key="taken")), atomic=True),
    )
    assert kinds(admission)[1] == [Withdrawn, Withdrawn, KeyConflict]


def test_a_submission_that_contradicts_itself_is_withdrawn() -> None:
    both = (draft(key="k"), draft(OTHER, key="k"))
    admission = admitted(Submission(both, atomic=True))
    assert kinds(admission) == [[Withdrawn, KeyConflict]]
    assert admission.entries == []
    assert admission.heads.get("acme", Head()) == Head()


def test_what_is_given_is_not_changed() -> None:
    known: dict[EventId, Known] = {}
    heads: dict[str, Head] = {}
    admit([Submission((draft(key="k"),))], known=known, heads=heads)
    assert (known, heads) == ({}, {})


_submissions = st.lists(
    st.builds(
        Submission,
        st.lists(
            st.builds(
                draft,
                st.sampled_from([told(), OTHER]),
                tenant=st.sampled_from(["acme", "other"]),
                key=st.none() | st.sampled_from("abc"),
                at=st.sampled_from([NOON, NOON + SECOND, NOON - SECOND]),
            ),
            max_size=5,
        ).map(tuple),
        atomic=st.booleans(),
    ),
    max_size=6,
)


@given(_submissions)
def test_whatever_is_sent_every_log_stays_whole(submissions: list[Submission]) -> None:
    admission = admitted(*submissions)
    for tenant in ("acme", "other"):
        entries = [entry for entry in admission.entries if entry.draft.tenant == tenant]
        assert [entry.record.sequence for entry in entries] == list(range(len(entries)))
        stamps = [entry.timestamp for entry in entries]
        assert stamps == sorted(stamps)
        assert admission.heads.get(tenant, Head()).next == len(entries)
    ids = [entry.record.id for entry in admission.entries]
    assert len(set(ids)) == len(ids)


@given(_submissions)
def test_whatever_is_sent_every_draft_has_an_outcome_that_is_true(
    submissions: list[Submission],
) -> None:
    admission = admitted(*submissions)
    kept = {entry.record.id: entry for entry in admission.entries}
    for submission, outcomes in zip(submissions, outcomes_of(admission.answers), strict=True):
        for sent, outcome in zip(submission.drafts, outcomes, strict=True):
            match outcome:
                case Appended(record):
                    assert kept[sent.id].record == record
                case Replayed(record):
                    assert kept[sent.id].record == record
                    assert kept[sent.id].draft.fingerprint == sent.fingerprint
                case KeyConflict():
                    assert sent.keyed
                case Withdrawn():
                    assert submission.atomic
        if submission.atomic and KeyConflict() in outcomes:
            assert not any(isinstance(outcome, Appended) for outcome in outcomes)
