"""How notices of erasures get to their recipients: over the link by which they got the files."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial

from sftpd.app.instance import Instance
from sftpd.app.traffic import Traffic
from sftpd.erasure import order
from sftpd.erasure.notices import FOLDER, Notice
from sftpd.erasure.notifier import Answer, Notifier
from sftpd.errors import NotFoundError
from sftpd.exchange.orders import Signed
from sftpd.service.schedule import Job

JOB = "erasure notices"
"""The job that delivers notices and chases them: regularly, and as soon as one is made."""

NEWS = frozenset({"erasure.notice_made", "erasure.notice_acknowledged"})
"""Events after which it is run at once."""

_EVERY = timedelta(minutes=5)
_SUFFIX = ".notice.json"
"""What it is called that a partner fetches; what is pushed to a remote is called as any order."""


def jobs(instance: Instance, traffic: Mapping[str, Traffic]) -> Iterator[Job]:
    """That job, and one for each remote whose receipts are collected: answers lie beside them."""
    notifier = Notifier(instance.ledger, _OverLinks(traffic))

    def work() -> None:
        notifier.go_on(instance.clock.now())

    yield Job(JOB, work, _EVERY, instance.config.instance.about.time_zone)
    for name, one in traffic.items():
        for remote in one.link.remotes:
            if remote.receipts is not None:
                look = partial(notifier.collect, name, remote.name)
                yield Job(f"answers {name}/{remote.name}", look, remote.receipts.schedule, one.link.zone)


class _OverLinks:
    """Pushes a notice to the remote, or lays it out for those who log in."""

    def __init__(self, traffic: Mapping[str, Traffic]) -> None:
        self._traffic = traffic

    def bring(self, notice: Notice, content: bytes, signature: bytes) -> None:
        """As Carrier says."""
        traffic = self._of(notice.link)
        if notice.remote:
            traffic.push(notice.remote, Signed(notice.id.encode() + order.SUFFIX, content, signature))
        else:
            traffic.require_open()  # who may not log in does not find it
            traffic.lay_out(FOLDER, Signed(_name(notice), content, signature))

    def withdraw(self, notice: Notice) -> None:
        """As Carrier says; raises NotFoundError where the link is gone."""
        self._of(notice.link).take_away(FOLDER, _name(notice))

    def answer(self, notice: Notice) -> Answer | None:
        """As Carrier says."""
        if not notice.remote:
            return None
        found = self._of(notice.link).answer_to(notice.id, notice.remote, notice.answer)
        return None if found is None else Answer(found.status, found.content, found.signer)

    def _of(self, link: str) -> Traffic:
        if link not in self._traffic:
            raise NotFoundError(f"no link {link!r} is configured any more")
        return self._traffic[link]


def _name(notice: Notice) -> bytes:
    return f"{notice.id}{_SUFFIX}".encode()
