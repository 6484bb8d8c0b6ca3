"""The life of a transfer, as a table. Pure.

A transfer enters the ledger with its first lasting decision, in SCREENING if that decision takes long.
PLACING is the state around the one rename that makes a file visible: whoever finds a transfer there after a
crash can tell from where the file lies whether the rename has happened. RETURNING is the same around the
rename that brings a file that was put aside back to its watched folder. RENAMED, TAKEN and SKIPPED are what a
route makes of a name that is taken at the counterparty: another name, a failure, or nothing to do. Each comes
only where it is certain that the file was not placed. So does REFUSED: the counterparty would not have the
file at its place, and it is brought anew. CANCELLED is for what is cancelled while nobody serves its route:
the file stays where it lies, and is put aside once the route is back.
"""

from enum import StrEnum

from sftpd.errors import LedgerError


class TransferState(StrEnum):
    """Where a transfer stands."""

    SCREENING = "screening"
    RETURNING = "returning"
    SENDING = "sending"
    WAITING = "waiting"
    PLACING = "placing"
    PLACED = "placed"
    DONE = "done"
    QUARANTINING = "quarantining"
    QUARANTINED = "quarantined"
    FAILING = "failing"
    FAILED = "failed"
    SKIPPING = "skipping"
    SKIPPED = "skipped"
    VANISHED = "vanished"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What happened to a transfer."""

    ACCEPTED = "accepted"
    BLOCKED = "blocked"
    VERIFIED = "verified"
    RENAMED = "renamed"
    TAKEN = "taken"
    SKIPPED = "skipped"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    GAVE_UP = "gave_up"
    PLACED = "placed"
    PUT_AWAY = "put_away"
    GONE = "gone"
    CANCELLED = "cancelled"
    LEFT = "left"
    REGAINED = "regained"
    RETRIED = "retried"
    RELEASED = "released"
    RESENT = "resent"


STEPS: dict[tuple[TransferState, Outcome], TransferState] = {
    (TransferState.SCREENING, Outcome.ACCEPTED): TransferState.SENDING,
    (TransferState.SCREENING, Outcome.BLOCKED): TransferState.QUARANTINING,
    (TransferState.SCREENING, Outcome.RESENT): TransferState.RETURNING,
    (TransferState.FAILED, Outcome.RETRIED): TransferState.RETURNING,
    (TransferState.QUARANTINED, Outcome.RETRIED): TransferState.RETURNING,
    (TransferState.QUARANTINED, Outcome.RELEASED): TransferState.PLACING,
    (TransferState.RETURNING, Outcome.ACCEPTED): TransferState.SENDING,
    (TransferState.RETURNING, Outcome.BLOCKED): TransferState.QUARANTINING,
    (TransferState.RETURNING, Outcome.GONE): TransferState.VANISHED,
    (TransferState.SENDING, Outcome.VERIFIED): TransferState.PLACING,
    (TransferState.SENDING, Outcome.UNREACHABLE): TransferState.WAITING,
    (TransferState.SENDING, Outcome.GAVE_UP): TransferState.FAILING,
    (TransferState.SENDING, Outcome.CANCELLED): TransferState.FAILING,
    (TransferState.SENDING, Outcome.GONE): TransferState.VANISHED,
    (TransferState.WAITING, Outcome.VERIFIED): TransferState.PLACING,
    (TransferState.WAITING, Outcome.UNREACHABLE): TransferState.WAITING,
    (TransferState.WAITING, Outcome.GAVE_UP): TransferState.FAILING,
    (TransferState.WAITING, Outcome.CANCELLED): TransferState.FAILING,
    (TransferState.WAITING, Outcome.GONE): TransferState.VANISHED,
    **{
        (state, Outcome.LEFT): TransferState.CANCELLED
        for state in (TransferState.SENDING, TransferState.WAITING, TransferState.FAILING)
    },
    (TransferState.CANCELLED, Outcome.REGAINED): TransferState.FAILING,
    **{
        (state, outcome): after
        for state in (TransferState.SENDING, TransferState.WAITING, TransferState.PLACING)
        for outcome, after in (
            (Outcome.RENAMED, state),
            (Outcome.TAKEN, TransferState.FAILING),
            (Outcome.SKIPPED, TransferState.SKIPPING),
        )
    },
    (TransferState.PLACING, Outcome.UNREACHABLE): TransferState.PLACING,
    (TransferState.PLACING, Outcome.REFUSED): TransferState.WAITING,
    (TransferState.PLACING, Outcome.BLOCKED): TransferState.QUARANTINING,
    (TransferState.PLACING, Outcome.GONE): TransferState.VANISHED,
    (TransferState.PLACING, Outcome.PLACED): TransferState.PLACED,
    (TransferState.PLACED, Outcome.PUT_AWAY): TransferState.DONE,
    (TransferState.QUARANTINING, Outcome.PUT_AWAY): TransferState.QUARANTINED,
    (TransferState.FAILING, Outcome.PUT_AWAY): TransferState.FAILED,
    (TransferState.SKIPPING, Outcome.PUT_AWAY): TransferState.SKIPPED,
}

FINAL = frozenset(
    {
        TransferState.DONE,
        TransferState.QUARANTINED,
        TransferState.FAILED,
        TransferState.SKIPPED,
        TransferState.VANISHED,
        TransferState.CANCELLED,
    }
)
"""States that nothing leads out of, but an operator who has what was put aside sent again or published, or
who puts the route back of what was cancelled without it."""


def step(state: TransferState, *outcomes: Outcome) -> TransferState:
    """The state after `outcomes`, one after the other.

    Raises LedgerError for an outcome that cannot happen there.
    """
    for outcome in outcomes:
        after = STEPS.get((state, outcome))
        if after is None:
            raise LedgerError(f"a transfer that is {state} cannot be {outcome}")
        state = after
    return state
