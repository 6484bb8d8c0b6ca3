"""What belongs to a link of the receipts that others make of what it delivers: plain values."""

from dataclasses import dataclass
from datetime import timedelta

from sftpd.audit.checkpoint import VerifierKey
from sftpd.civil import Cron


@dataclass(frozen=True, slots=True)
class ReturnReceipts:
    """How the receipts are collected that a remote's owner makes of what we deliver."""

    folder: str
    """Where they lie at the remote."""
    signers: tuple[VerifierKey, ...]
    """Who may make them: the name of an instance and one of its keys each."""
    within: timedelta
    """How long after the delivery one is awaited."""
    schedule: timedelta | Cron
