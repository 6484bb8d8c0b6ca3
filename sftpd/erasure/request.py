"""The states of a deletion request, and the steps between them, as a table."""

from enum import StrEnum

from sftpd.errors import RefusedError


class State(StrEnum):
    """How far a request is; `partial` waits for a hold to be released, `closed` and `denied` are final."""

    RECEIVED = "received"
    SCOPING = "scoping"
    REVIEW = "review"
    APPROVED = "approved"
    EXECUTING = "executing"
    VERIFYING = "verifying"
    NOTIFYING = "notifying"
    CLOSED = "closed"
    PARTIAL = "partial"
    DENIED = "denied"


class Trigger(StrEnum):
    """What moves a request on."""

    SEARCH = "search"
    FINDINGS = "findings"
    APPROVE = "approve"
    DENY = "deny"
    RUN = "run"
    CARRIED_OUT = "carried_out"
    REMAINS = "remains"
    NOTHING_LEFT = "nothing_left"
    ONLY_HELD_LEFT = "only_held_left"
    ALL_TOLD = "all_told"


TRANSITIONS: dict[State, dict[Trigger, State]] = {
    State.RECEIVED: {Trigger.SEARCH: State.SCOPING, Trigger.DENY: State.DENIED},
    State.SCOPING: {
        Trigger.SEARCH: State.SCOPING,
        Trigger.FINDINGS: State.REVIEW,
        Trigger.DENY: State.DENIED,
    },
    State.REVIEW: {
        Trigger.SEARCH: State.SCOPING,
        Trigger.APPROVE: State.APPROVED,
        Trigger.DENY: State.DENIED,
    },
    State.APPROVED: {Trigger.SEARCH: State.SCOPING, Trigger.RUN: State.EXECUTING},
    State.EXECUTING: {Trigger.RUN: State.EXECUTING, Trigger.CARRIED_OUT: State.VERIFYING},
    State.VERIFYING: {
        Trigger.RUN: State.VERIFYING,
        Trigger.REMAINS: State.SCOPING,
        Trigger.NOTHING_LEFT: State.NOTIFYING,
        Trigger.ONLY_HELD_LEFT: State.PARTIAL,
    },
    State.NOTIFYING: {Trigger.ALL_TOLD: State.CLOSED},
    State.PARTIAL: {Trigger.SEARCH: State.SCOPING},
    State.CLOSED: {},
    State.DENIED: {},
}


def step(state: State, trigger: Trigger) -> State:
    """Return the state that `trigger` leads to.

    Raises RefusedError, reason `ERASURE_STATE`, naming what `state` allows.
    """
    allowed = TRANSITIONS[state]
    if trigger not in allowed:
        raise RefusedError(
            f"a request that is {state} does not allow {trigger}",
            reason="ERASURE_STATE",
            remedy=f"it allows {', '.join(allowed)}" if allowed else "it is final",
        )
    return allowed[trigger]
