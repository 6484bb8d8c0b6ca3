"""The configuration of return receipts, as a remote's section has it; the text below a key documents it."""

from typing import Annotated

from pydantic import Field

from sftpd.config.model import Section
from sftpd.config.signers import Signers
from sftpd.config.values import Schedule, Seconds, Text


class ReturnReceiptsSection(Section):
    """The receipts that the counterparty makes of what we deliver, collected if this table is there."""

    folder: Text = "/receipts"
    """The folder at the remote in which they lie."""
    signers: Signers = Field(examples=["file:keys/partner_signers"])
    """Whose signatures count: the line that `sftpd audit signer` prints there, for each key that they had."""
    within: Annotated[Seconds, Field(gt=0)] = 3600.0
    """How long after a delivery its receipt is awaited; then it is told that it is missing."""
    every: Schedule = Field(default="PT1M", validate_default=True)
    """How often they are looked for: a duration, or five cron fields in the link's time zone."""
