"""How notices of erasures get to their recipients: over the link by which they got the files."""

from collections.abc import Mapping
from datetime import timedelta

from sftpd.app.instance import Instance
from sftpd.app.traffic import Traffic
from sftpd.erasure import order
from sftpd.erasure.notices import FOLDER, Notice
from sftpd.erasure.notifier import Notifier
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


def job(instance: Instance, traffic: Mapping[str, Traffic]) -> Job:
    """The job, for the links with this traffic."""
    notifier = Notifier(instance.ledger, _OverLinks(traffic))

    def work() -> None:
        notifier.go_on(instance.clock.now())

    return Job(JOB, work, _EVERY, instance.config.instance.about.time_zone)


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
            traffic.lay_out(FOLDER, Signed(_name(notice), content, signature))

    def withdraw(self, notice: Notice) -> None:
        """As Carrier says; raises NotFoundError where the link is gone."""
        self._of(notice.link).take_away(FOLDER, _name(notice))

    def _of(self, link: str) -> Traffic:
        if link not in self._traffic:
            raise NotFoundError(f"no link {link!r} is configured any more")
        return self._traffic[link]


def _name(notice: Notice) -> bytes:
    return f"{notice.id}{_SUFFIX}".encode()
