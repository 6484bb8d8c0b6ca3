"""One sftpd delivers to another, which proves what it has by hashing it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Daemon, eventually
from traffic_scene import names, states, with_sftpd

BIG = os.urandom((5 << 20) + 1)


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "partner")
    yield made
    made.kill()


@pytest.fixture
def ours(tmp_path: Path, partner: Daemon) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "ours")
    with_sftpd(made, partner, "attempts = 3")
    yield made
    made.kill()


def deliver(ours: Daemon, partner: Daemon, files: dict[str, bytes]) -> list[str]:
    """Have the files delivered, and return the proofs that the audit log tells."""
    for name, content in files.items():
        (ours.outbound / name).write_bytes(content)
    partner.start()
    ours.start()
    eventually(lambda: states(ours) == {"done": len(files)}, ours)
    for name, content in files.items():
        assert (partner.inbound / name).read_bytes() == content
    ours.stop()
    return [event["data"]["proof"] for event in ours.events_of("transfer.delivered")]


def test_files_of_every_size_are_proven_by_their_hash(ours: Daemon, partner: Daemon) -> None:
    proofs = deliver(ours, partner, {"big": BIG, "small": b"small", "empty": b""})
    assert proofs == ["sha256"] * 3
    assert len(partner.events_of("transfer.received")) == 3


def test_a_partner_that_tells_no_hash_gets_its_files_all_the_same(ours: Daemon, partner: Daemon) -> None:
    partner.configure_link("[account]", 'deny = ["check-file-name"]')
    assert sorted(deliver(ours, partner, {"big": BIG, "small": b"small"})) == ["sha256", "size"]


def test_what_the_gate_there_rejects_is_sent_again_and_never_counts_as_delivered(
    ours: Daemon, partner: Daemon
) -> None:
    partner.configure_link("policy", 'types = ["csv"]')
    for name in ("a.csv", "b.txt", "c.csv"):
        (ours.outbound / name).write_bytes(b"a;b\n1;2\n")
    partner.start()
    ours.start()
    eventually(lambda: states(ours) == {"done": 2, "failed": 1}, ours)
    ours.stop()
    assert names(partner.inbound) == ["a.csv", "c.csv"]
    assert len(ours.events_of("transfer.delivered")) == 2
    assert "not_seen_at_its_place" not in ours.log
    assert [event["data"]["verdict"] for event in partner.events_of("transfer.blocked")] == ["reject"] * 3
    assert names(ours.failed) == ["b.txt", "b.txt.reason.txt"]
    reason = (ours.failed / "b.txt.reason.txt").read_text()
    assert "partner:/upload/: " in reason
    assert "PERMISSION_DENIED" in reason


def test_what_there_is_no_room_for_waits_until_the_consumer_there_has_made_some(
    ours: Daemon, partner: Daemon
) -> None:
    partner.configure_link("link", 'storage = "1 MiB"')
    ours.link_config.write_text(ours.link_config.read_text().replace("attempts = 3", ""))
    files = {f"{number}.bin": os.urandom(700_000) for number in range(3)}
    for name, content in files.items():
        (ours.outbound / name).write_bytes(content)
    partner.start()
    ours.start()
    taken: dict[str, bytes] = {}
    for count in range(1, len(files) + 1):
        eventually(lambda: len(names(partner.inbound)) == 1, ours)
        eventually(lambda done=count: states(ours)["done"] == done, ours)
        (path,) = partner.inbound.iterdir()
        taken[path.name] = path.read_bytes()
        path.unlink()
    assert taken == files
    assert len(partner.events_of("transfer.received")) == len(ours.events_of("transfer.delivered")) == 3
    assert "bytes stored here reached" in ours.log
