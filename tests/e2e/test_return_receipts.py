"""One sftpd delivers to another, and collects the receipts that that one makes of what it got."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Daemon, eventually
from sshd import Sshd
from traffic_scene import outbound, states, with_remote

HOUR = 3600 * 10**6


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "partner")
    yield made
    made.kill()


@pytest.fixture
def ours(tmp_path: Path, partner: Daemon) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "ours")
    host_key = partner.known_hosts.read_text().split(maxsplit=1)[1]
    at = Sshd(partner.port, host_key, partner.user, partner.key, partner.root, partner.config)
    with_remote(made, at, outbound(Path("/upload")))
    (made.root / "keys/partner_signers").write_text(partner.cli("audit", "signer").stdout)
    collect_receipts(made)
    partner.start()
    yield made
    made.kill()


def collect_receipts(daemon: Daemon, *lines: str) -> None:
    """Have the receipts of the remote collected each second."""
    table = ["[remote.receipts]", 'signers = "file:keys/partner_signers"', 'every = "PT1S"', *lines]
    text = re.sub(r"(?s)\[remote.receipts\].*?\n\n", "", daemon.link_config.read_text())
    text = text.replace("\n[[route]]", "\n".join(["", *table, "", "[[route]]"]), 1)
    daemon.link_config.write_text(text)


def told(daemon: Daemon) -> list[dict]:
    return daemon.events_of("receipt.matched", "receipt.refused", "receipt.missed")


def transfers(daemon: Daemon) -> dict[str, str]:
    """The ids of transfers by the path of their file."""
    return {one["path"]: one["id"] for one in json.loads(daemon.cli("transfer", "list", "--json").stdout)}


def deliver(ours: Daemon, **files: bytes) -> dict[str, str]:
    """Have files delivered; returns their transfers by path."""
    for name, content in files.items():
        (ours.outbound / name).write_bytes(content)
    eventually(lambda: len(transfers(ours)) >= len(files) and set(states(ours)) == {"done"}, ours)
    return transfers(ours)


def test_each_delivery_has_the_receipt_of_who_got_it(ours: Daemon, partner: Daemon) -> None:
    ours.start()
    sent = deliver(ours, report=b"name;amount\nJan;5\n", empty=b"", other=b"x")
    eventually(lambda: len(told(ours)) == 3, ours)
    received = {event["data"]["transfer"] for event in partner.events_of("transfer.received")}
    for event in told(ours):
        data = event["data"]
        assert (event["type"], data["verdict"], data["arrival"]) == ("receipt.matched", "accept", "in_time")
        assert data["transfer"] in sent.values()
        received.remove(data["theirs"])
        # It says where the event stands in the log that we may read.
        assert partner.events()[data["index"]]["data"]["transfer"] == data["theirs"]
    shown = json.loads(ours.cli("transfer", "show", sent["report"], "--json").stdout)["receipt"]
    assert (shown["state"], shown["verdict"], shown["instance"]) == ("matched", "accept", "demo.local")
    proof = ours.cli("transfer", "receipt", sent["report"], "--theirs", "--verify")
    assert proof.returncode == 0, proof.stderr
    assert proof.stdout.splitlines()[-1] == "valid"
    assert json.loads(proof.stdout.splitlines()[1])["name"] == "report"
    assert "receipt" in ours.cli("transfer", "show", sent["report"]).stdout
