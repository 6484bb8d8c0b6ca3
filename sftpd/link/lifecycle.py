"""The life of a link, as a table: which step leads from which state to which."""

from enum import StrEnum

from sftpd.errors import RefusedError


class LinkState(StrEnum):
    """Where a link stands."""

    DRAFT = "draft"
    REGISTERED = "registered"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    CLOSED = "closed"


class LinkStep(StrEnum):
    """What can be done to a link."""

    REGISTER = "register"
    ACTIVATE = "activate"
    SUSPEND = "suspend"
    RESUME = "resume"
    CLOSE = "close"
    FINISH = "finish"


STEPS: dict[tuple[LinkState, LinkStep], LinkState] = {
    (LinkState.DRAFT, LinkStep.REGISTER): LinkState.REGISTERED,
    (LinkState.REGISTERED, LinkStep.ACTIVATE): LinkState.ACTIVE,
    (LinkState.ACTIVE, LinkStep.SUSPEND): LinkState.SUSPENDED,
    (LinkState.SUSPENDED, LinkStep.RESUME): LinkState.ACTIVE,
    (LinkState.REGISTERED, LinkStep.CLOSE): LinkState.CLOSING,
    (LinkState.ACTIVE, LinkStep.CLOSE): LinkState.CLOSING,
    (LinkState.SUSPENDED, LinkStep.CLOSE): LinkState.CLOSING,
    (LinkState.CLOSING, LinkStep.FINISH): LinkState.CLOSED,
}


_REASONED = frozenset({LinkStep.FINISH})
"""Steps that are not taken without a reason."""


def take(state: LinkState, step: LinkStep, link: str) -> LinkState:
    """The state of `link` after `step`.

    Raises RefusedError with reason `LINK_STEP`, naming the commands of the steps that are possible.
    """
    after = STEPS.get((state, step))
    if after is None:
        possible = ", ".join(_command(s, link) for (at, s) in STEPS if at is state) or "none"
        raise RefusedError(
            f"a link that is {state} cannot {step}", reason="LINK_STEP", remedy=f"possible steps: {possible}"
        )
    return after


def _command(step: LinkStep, link: str) -> str:
    return f"sftpd link {step} {link}{' --reason TEXT' if step in _REASONED else ''}"
