"""The configuration of how deletion requests come in and who decides on them, as part of `[erasure]`."""

from typing import Annotated, Literal

from pydantic import Field

from sftpd.config.model import Section
from sftpd.config.signers import AnswerSigners, OrderSigners
from sftpd.config.values import Seconds, Text

PARTNER = "partner"
"""The counterparty is the controller."""


class RequestsSection(Section):
    """Who decides on deletion requests, who may order erasures by a file, and when we are reminded."""

    role: Literal["controller", "processor"] = "controller"
    """What we are for this link's personal data: a `processor` waits for its controller's instruction."""
    controller: Text = Field(default=PARTNER, examples=["Example Bank, privacy@bank.example"])
    """To whom a processor forwards requests: `partner`, the counterparty, or a name and an address."""
    order_keys: OrderSigners | None = Field(default=None, examples=["file:keys/partner_orders"])
    """Who may order erasures by a file in `/requests`; if left out such files do nothing."""
    answer_keys: AnswerSigners | None = Field(default=None, examples=["file:keys/partner_answers"])
    """Who may answer our notices by a file in `/requests`; if left out such files do nothing."""
    signature_within: Annotated[Seconds, Field(gt=0)] = 3600.0
    """How long an order or answer may wait there for its signature; then it is refused."""
    reminders: tuple[Annotated[Seconds, Field(gt=0)], ...] = Field(
        default=("P7D", "P1D"), validate_default=True
    )
    """How long before a request is due it is told that it is; that it is overdue is told in any case."""
