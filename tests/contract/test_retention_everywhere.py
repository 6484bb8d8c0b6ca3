"""Whatever became of files on their way, no byte of one that was disposed of is left under its link."""

import contextlib
import random
from datetime import timedelta

import pytest
from exchange_scene import Scene, contents
from folders import quick_folder
from retention_scene import Later

from sftpd.errors import RefusedError, RemoteRefusedError
from sftpd.exchange.desk import Order, TransferDesk
from sftpd.files.path_locks import PathLocks
from sftpd.periods import Period
from sftpd.retention.desk import RetentionDesk
from sftpd.retention.guards import Bounds
from sftpd.retention.roots import Roots
from sftpd.retention.rule import Rule, Term
from sftpd.retention.timekeeper import Timekeeper

ORDER = Order("Ina", "they asked for it")
NO = RemoteRefusedError("it answers PERMISSION_DENIED")


class Link:
    """A link with files that went every way, and the retention of it: a day after each came into our care."""

    def __init__(self, scene, clock):
        self.scene = scene
        self.clock = clock
        self.count = 0
        self.transfers = TransferDesk(scene.ledger, clock, lambda *_: None)
        rule = Rule(
            "all", 1, "demo", None, "*", Term(Period.parse("PT24H")), "dispose", "law", link_zone(scene)
        )
        folders = scene.folders.by_name()
        roots = Roots(scene.ledger, lambda link, name: folders[name], PathLocks())
        keeper = Timekeeper(scene.ledger, clock)
        bounds = Bounds(unremarkable=1000)
        self.retention = RetentionDesk(scene.ledger, [rule], roots, keeper, clock, bounds)

    def content(self) -> bytes:
        self.count += 1
        return b"content %04d of a person" % self.count

    def send(self, route, content, name=None):
        self.scene.queue.offer(self.scene.senders[route], self.scene.drop(name or "out.csv", content))
        self.scene.run_queue()
        return self.scene.transfers()[-1]

    # Each way on which a file may have gone; it returns the bytes.

    def uploaded(self):
        content = self.content()
        self.scene.upload(f"upload/{self.count}.csv", content)
        return content

    def requested(self):
        content = self.content()
        self.scene.upload(f"requests/{self.count}.csv", content)
        return content

    def replaced(self):
        content = self.content()
        self.scene.upload("upload/same.csv", content)
        return content

    def tried_before(self):
        """An upload that came in whole at the second try, under another temporary name."""
        content = self.content()
        self.scene.stage(f"upload/{self.count}.first.tmp", content)
        self.scene.upload(f"upload/{self.count}.csv", content)
        return content

    def left_half(self):
        content = self.content()
        self.scene.stage(f"upload/{self.count}.part", content)
        return content

    def refused(self):
        content = self.content()
        self.scene.hook("pre-receive", "exit 1")
        with contextlib.suppress(RefusedError):
            self.scene.upload(f"upload/{self.count}.csv", content)
        (self.scene.hooks / "pre-receive.d" / "10-test").unlink()
        return content

    def blocked(self):
        content = self.content()
        self.scene.hook("pre-send", "exit 1")
        self.scene.queue.offer(self.scene.senders["remote"], self.scene.drop("out.csv", content))
        self.scene.run_queue()
        (self.scene.hooks / "pre-send.d" / "10-test").unlink()
        return content

    def offered(self):
        content = self.content()
        self.send("download", content, f"{self.count}.csv")
        return content

    def sent(self):
        content = self.content()
        self.send("remote", content)
        return content

    def sent_again(self):
        content = self.content()
        transfer = self.send("remote", content)
        self.transfers.resend(transfer.id, self.scene.places, ORDER)
        self.scene.bell.ring()
        self.scene.run_queue()
        return content

    def failed(self):
        content = self.content()
        self.scene.remote.faults["upload"] = [NO] * 2
        self.send("remote", content)
        return content

    def failed_and_sent(self):
        content = self.content()
        self.scene.remote.faults["upload"] = [NO] * 2
        transfer = self.send("remote", content)
        self.transfers.retry(transfer.id, ORDER)
        self.scene.bell.ring()
        self.scene.run_queue()
        return content


WAYS = [
    name for name, way in vars(Link).items() if name not in ("__init__", "content", "send") and callable(way)
]


def link_zone(scene):
    return scene.partner.link.zone


@pytest.fixture
def link():
    clock = Later()
    with quick_folder() as folder, Scene(folder, attempts=2, clock=clock) as scene:
        yield Link(scene, clock)


def found(link, content):
    """Where under the link a content is, in whatever file."""
    return [path for path, held in contents(link.scene.folders.root).items() if content in held]


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_found_until_it_is_due_and_nowhere_after(link, way):
    content = getattr(link, way)()
    link.retention.run_due()
    assert found(link, content), "the search finds nothing"
    link.clock.ahead += timedelta(days=2)
    link.retention.run_due()
    assert found(link, content) == []
    assert link.scene.received() == []
    assert {row.result for row in link.retention.report()} == {"disposed"}


@pytest.mark.parametrize("seed", range(6))
def test_of_files_that_went_every_way_exactly_the_due_ones_are_gone(link, seed):
    chance = random.Random(seed)
    old = [getattr(link, chance.choice(WAYS))() for _ in range(12)]
    link.retention.run_due()
    link.clock.ahead += timedelta(days=2)
    new = [getattr(link, chance.choice(WAYS))() for _ in range(6)]
    kept = [content for content in new if found(link, content)]
    link.retention.run_due()
    assert [content for content in old if found(link, content)] == []
    assert [content for content in new if found(link, content)] == kept
    assert contents(link.scene.folders.failed).keys() == {
        name for path in named(link, "failed") for name in (path, f"{path}.reason.txt")
    }


def named(link, folder):
    return [path for where, path in link.scene.received() if where == folder]


def test_a_file_sent_again_later_is_due_with_the_first(link):
    content = link.content()
    first = link.send("remote", content)
    link.clock.ahead += timedelta(hours=23)
    link.transfers.resend(first.id, link.scene.places, ORDER)
    link.scene.bell.ring()
    link.scene.run_queue()
    assert len(found(link, content)) == 2
    link.clock.ahead += timedelta(hours=2)
    link.retention.run_due()
    assert found(link, content) == []
