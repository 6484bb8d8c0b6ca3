"""Deletion requests while the daemon runs: orders of counterparties are carried out, and terms told of."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial

from sftpd.app.instance import Instance
from sftpd.app.keys import token_key
from sftpd.app.traffic import Traffic
from sftpd.audit.checkpoint import VerifierKey
from sftpd.config.link_model import LinkFile
from sftpd.config.requests_model import PARTNER
from sftpd.config.signers import Signer
from sftpd.erasure import reminders
from sftpd.erasure.answers import Shelf
from sftpd.erasure.orders import Drop, Orders, Tools
from sftpd.exchange.places import Places
from sftpd.ledger.outbox import Event
from sftpd.service.schedule import Job

_TAKE_IN, _DRIVE, _REMIND = "take in orders", "carry out orders", "remind of requests"
_EVERY = timedelta(minutes=1)
"""How often is looked for what an event did not tell of."""

SOON = timedelta(seconds=0.5)
"""After an event that has a job run: what runs already has come to its end then, or is at work for longer."""

_NEWS: Mapping[str, tuple[str, ...]] = {
    "order.accepted": (_DRIVE,),
    "erasure.identity_confirmed": (_DRIVE,),
    "erasure.approved": (_DRIVE,),
    "erasure.closed": (_TAKE_IN,),
    "erasure.partial": (_TAKE_IN,),
    "erasure.denied": (_TAKE_IN,),
}
"""The jobs that an event is news for."""


class Requests:
    """The jobs of deletion requests, as the configuration wants them now."""

    def __init__(
        self, instance: Instance, traffic: Mapping[str, Traffic], places_of: Callable[[str], Places]
    ) -> None:
        self._instance = instance
        self._lock = threading.Lock()
        self._expected: set[str] = set()
        """The jobs that are to run soon in any case."""
        self._orders = [
            _orders(instance, file, traffic[file.name], places_of(file.name))
            for file in instance.config.links
            if file.erasure.order_keys is not None or file.erasure.answer_keys is not None
        ]

    def jobs(self) -> Iterator[Job]:
        """What is to be done regularly."""
        zone = self._instance.config.instance.about.time_zone
        yield Job(_REMIND, self._remind, _EVERY, zone, brief=True)
        if self._orders:
            yield Job(_TAKE_IN, self._take_in, _EVERY, zone, brief=True)
            yield Job(_DRIVE, self._drive, _EVERY, zone)

    def concerned(self, event: Event) -> tuple[str, ...]:
        """The jobs that are to run SOON because of an event."""
        if not self._orders:
            return ()
        dropped = event.type == "transfer.received" and event.public.get("folder") == "requests"
        return self._not_expected((_TAKE_IN,) if dropped else _NEWS.get(event.type, ()))

    def at_start(self) -> tuple[str, ...]:
        """The jobs that are to run SOON after a start: orders may have come, or been approved, before."""
        return self._not_expected((_TAKE_IN, _DRIVE) if self._orders else ())

    def _not_expected(self, jobs: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the jobs of which nobody knows yet that they are to run; many events make one run."""
        with self._lock:
            new = tuple(job for job in jobs if job not in self._expected)
            self._expected.update(new)
        return new

    def _begins(self, job: str) -> None:
        with self._lock:
            self._expected.discard(job)

    def _take_in(self) -> timedelta | None:
        self._begins(_TAKE_IN)
        more = [orders.take_in() for orders in self._orders]
        return timedelta() if any(more) else None

    def _drive(self) -> None:
        self._begins(_DRIVE)
        for orders in self._orders:
            orders.drive()

    def _remind(self) -> None:
        reminders.tell(self._instance.ledger, self._instance.reminders)


def _orders(instance: Instance, file: LinkFile, traffic: Traffic, places: Places) -> Orders:
    settings = file.erasure
    drop = Drop(
        link=file.name,
        signers=_keys(settings.order_keys),
        answerers=_keys(settings.answer_keys),
        signature_within=timedelta(seconds=settings.signature_within),
        instructs=settings.role == "processor" and settings.controller == PARTNER,
        requests=places["requests"],
        shelf=Shelf(places["receipts"], places["drafts"], instance.receipting),
        withdraw=traffic.withdraw_request,
        receiptless=partial(instance.receiptless, file.name),
    )
    tools = Tools(instance.ledger, instance.erasure, instance.order_readers, instance.key, instance.clock)
    return Orders(drop, tools, token_key(instance.key, f"order/{file.name}"))


def _keys(signers: tuple[Signer, ...] | None) -> tuple[VerifierKey, ...]:
    return tuple(VerifierKey(signer.name, signer.public) for signer in signers or ())
