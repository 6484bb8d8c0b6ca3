"""The states of a deletion request, and the steps between them, as a table."""

from enum import StrEnum

from sftpd.errors import RefusedError


class State(StrEnum):
    """How far a request is; `closed`, `denied` and `duplicate` are final.

    `identity_pending` waits until it is certain who asks, and its term waits too; `partial` waits for a hold
    to be released. That the term is extended is no state but a mark, as is what a controller instructed.
    """

    RECEIVED = "received"
    IDENTITY_PENDING = "identity_pending"
    SCOPING = "scoping"
    REVIEW = "review"
    APPROVED = "approved"
    EXECUTING = "executing"
    VERIFYING = "verifying"
    NOTIFYING = "notifying"
    CLOSED = "closed"
    PARTIAL = "partial"
    DENIED = "denied"
    DUPLICATE = "duplicate"


class Trigger(StrEnum):
    """What moves a request on."""

    ASK_IDENTITY = "ask_identity"
    CONFIRM_IDENTITY = "confirm_identity"
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
    State.RECEIVED: {
        Trigger.ASK_IDENTITY: State.IDENTITY_PENDING,
        Trigger.SEARCH: State.SCOPING,
        Trigger.DENY: State.DENIED,
    },
    State.IDENTITY_PENDING: {Trigger.CONFIRM_IDENTITY: State.RECEIVED, Trigger.DENY: State.DENIED},
    State.SCOPING: {
        Trigger.ASK_IDENTITY: State.IDENTITY_PENDING,
        Trigger.SEARCH: State.SCOPING,
        Trigger.FINDINGS: State.REVIEW,
        Trigger.DENY: State.DENIED,
    },
    State.REVIEW: {
        Trigger.ASK_IDENTITY: State.IDENTITY_PENDING,
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
    State.DUPLICATE: {},
}

UNSEARCHED = frozenset({State.RECEIVED, State.SCOPING})
"""The states in which a request may be searched for and no search has come to its end."""

ANSWERED = frozenset({State.NOTIFYING, State.CLOSED, State.PARTIAL, State.DENIED, State.DUPLICATE})
"""The states in which the person has had an answer: the term has done its work."""


COMMANDS = {
    Trigger.ASK_IDENTITY: "identity",
    Trigger.CONFIRM_IDENTITY: "identity",
    Trigger.SEARCH: "find",
    Trigger.APPROVE: "approve",
    Trigger.DENY: "deny",
    Trigger.RUN: "run",
}
"""What people move a request on by, of `sftpd erasure`."""


def step(state: State, trigger: Trigger) -> State:
    """Return the state that `trigger` leads to.

    Raises RefusedError, reason `ERASURE_STATE`, naming the commands that `state` allows.
    """
    allowed = TRANSITIONS[state]
    if trigger not in allowed:
        commands = [command for each, command in COMMANDS.items() if each in allowed]
        goes_on = "it goes on by itself" if allowed else "it is final"
        raise RefusedError(
            f"a request that is {state} does not allow {COMMANDS.get(trigger, trigger)}",
            reason="ERASURE_STATE",
            remedy=f"it allows sftpd erasure {', '.join(commands)}" if commands else goes_on,
        )
    return allowed[trigger]
