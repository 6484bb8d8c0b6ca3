"""The gate: whether a link may be used now, and if not, every reason why not. Pure."""

from dataclasses import dataclass
from datetime import date

from sftpd.errors import NotOpenError
from sftpd.link.lifecycle import LinkState
from sftpd.link.model import Terms


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gate decides on."""

    state: LinkState
    terms: Terms | None
    accepted: bool
    """Whether `terms`, in exactly this version, were accepted."""
    today: date
    """The date in the link's time zone."""
    going_back: bool = False
    """Whether it is to be used for received files that go back, as they do while the link is being closed."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a link may not be used: a stable code, and what to do about it."""

    code: str
    text: str
    remedy: str


def reasons_against(facts: Facts) -> tuple[Reason, ...]:
    """Every reason for which the link may not be used now; none means that it may."""
    reasons = []
    may_use = (LinkState.ACTIVE, LinkState.CLOSING) if facts.going_back else (LinkState.ACTIVE,)
    if facts.state not in may_use:
        reasons.append(Reason("LINK_NOT_ACTIVE", f"the link is {facts.state}", "sftpd link show"))
    # Who closes a link rather than accept new terms still gives back what is the counterparty's.
    is_return = facts.going_back and facts.state is LinkState.CLOSING
    terms = None if is_return else facts.terms
    if terms is not None and terms.effective <= facts.today and not facts.accepted:
        reasons.append(
            Reason(
                "TERMS_NOT_ACCEPTED",
                f"{terms.document} {terms.version} is in force since {terms.effective} and not accepted",
                "sftpd link accept",
            )
        )
    return tuple(reasons)


def require_open(link: str, facts: Facts) -> None:
    """Pass if the link may be used now.

    Raises NotOpenError with the first reason's code.
    """
    reasons = reasons_against(facts)
    if reasons:
        raise NotOpenError(
            "; ".join(r.text for r in reasons),
            reason=reasons[0].code,
            where=f"link {link}",
            remedy=f"see {reasons[0].remedy} {link}",
        )
