"""One sftpd delivers to another, and collects the receipts that that one makes of what it got."""

import contextlib
import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from daemon import Daemon, eventually
from receipt_scene import KEY
from return_scene import claim
from sshd import Sshd, sshd
from traffic_scene import couriers, make_files, outbound, states, with_remote, with_sftpd

from sftpd.audit import sshsig
from sftpd.exchange import receipt

HOUR = 3600 * 10**6


def test_receipts_are_not_collected_once_the_link_is_suspended(ours: Daemon, partner: Daemon) -> None:
    look_each(ours, "PT1H")
    ours.start()
    deliver(ours, **{"report.csv": b"a"})
    eventually(lambda: list((partner.link / ".sftpd/receipts").rglob("*.json")), partner)
    ours.stop()
    look_each(ours, "PT1S")
    os.kill(partner.pid, signal.SIGSTOP)
    ours.start()
    eventually(lambda: couriers(ours), ours)
    assert ours.cli("link", "suspend", "demo", "--by", "Ina", "--reason", "test").returncode == 0
    os.kill(partner.pid, signal.SIGCONT)
    eventually(lambda: "job_failed" in ours.log or "job_held" in ours.log, ours)
    assert told(ours) == []


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "partner")
    yield made
    made.kill()


@pytest.fixture
def ours(tmp_path: Path, partner: Daemon) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "ours")
    with_sftpd(made, partner)
    collect_receipts(made, partner.cli("audit", "signer").stdout)
    partner.start()
    yield made
    made.kill()


def collect_receipts(daemon: Daemon, signers: str, *lines: str) -> None:
    """Have the receipts of the remote collected each second."""
    (daemon.root / "keys/partner_signers").write_text(signers)
    table = ["[remote.receipts]", 'signers = "file:keys/partner_signers"', 'every = "PT1S"', *lines, ""]
    text = daemon.link_config.read_text()
    daemon.link_config.write_text(text.replace("\n[[route]]", "\n".join(["", *table, "[[route]]"]), 1))


def look_each(daemon: Daemon, period: str) -> None:
    text = daemon.link_config.read_text()
    daemon.link_config.write_text(re.sub(r'every = "PT1\w"', f'every = "{period}"', text))


def told(daemon: Daemon) -> list[dict]:
    return daemon.events_of("receipt.matched", "receipt.refused", "receipt.missed")


def outcomes(daemon: Daemon) -> list[str]:
    """What is told of receipts, in short and in order of the words: `matched accept`, `refused signature`."""
    said = ((event["type"].partition(".")[2], event["data"]) for event in told(daemon))
    return sorted(
        " ".join([kind, *(d[key] for key in ("verdict", "reason") if key in d)]) for kind, d in said
    )


def transfers(daemon: Daemon) -> dict[str, str]:
    """The ids of transfers by the path of their file."""
    return {one["path"]: one["id"] for one in json.loads(daemon.cli("transfer", "list", "--json").stdout)}


def receipt_shown(daemon: Daemon, transfer: str) -> dict:
    return json.loads(daemon.cli("transfer", "show", transfer, "--json").stdout)["receipt"]


def deliver(ours: Daemon, **files: bytes) -> dict[str, str]:
    """Have files delivered; returns their transfers by path."""
    for name, content in files.items():
        (ours.outbound / name).write_bytes(content)
    eventually(lambda: states(ours) == {"done": len(files)}, ours)
    return transfers(ours)


def kept(daemon: Daemon) -> list[Path]:
    return sorted((daemon.link / ".sftpd/return_receipts").rglob("*.json"))


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
    shown = receipt_shown(ours, sent["report"])
    assert (shown["state"], shown["verdict"], shown["instance"]) == ("matched", "accept", "demo.local")
    proof = ours.cli("transfer", "receipt", sent["report"], "--theirs", "--verify")
    assert proof.returncode == 0, proof.stderr
    assert proof.stdout.splitlines()[-1] == "valid"
    assert json.loads(proof.stdout.splitlines()[1])["name"] == "report"
    assert re.search(r"(?m)^receipt +state matched, ", ours.cli("transfer", "show", sent["report"]).stdout)
    # What lies here is looked at with the keys that are configured by then.
    (path,) = (path for path in kept(ours) if path.parent.name == sent["report"])
    path.write_bytes(path.read_bytes().replace(b"accept", b"reject"))
    changed = ours.cli("transfer", "receipt", sent["report"], "--theirs", "--verify")
    assert (changed.returncode, "does not hold" in changed.stdout) == (1, True)


def test_a_gate_there_that_holds_a_file_back_is_told_here(ours: Daemon, partner: Daemon) -> None:
    partner.configure_link("policy", 'deny = ["*.exe"]')
    partner.reload()
    ours.start()
    (ours.outbound / "bad.exe").write_bytes(b"MZ")
    eventually(lambda: "matched reject" in outcomes(ours), ours)
    assert {*outcomes(ours)} == {"matched reject"}
    assert receipt_shown(ours, transfers(ours)["bad.exe"])["verdict"] == "reject"
    assert ours.events_of("transfer.delivered") == []


def test_receipts_that_are_not_as_they_were_made_are_refused(ours: Daemon, partner: Daemon) -> None:
    look_each(ours, "PT1H")
    ours.start()
    sent = deliver(ours, tampered=b"1", foreign=b"2", gone=b"3", good=b"4")
    there = partner.link / ".sftpd/receipts"
    eventually(lambda: len([*there.rglob("*.json")]) == 4, partner)
    paths = {path.name.partition(".")[0]: path for path in there.rglob("*.json")}
    paths["tampered"].write_bytes(paths["tampered"].read_bytes().replace(b'"size":1', b'"size":2'))
    signature = sshsig.sign(paths["foreign"].read_bytes(), KEY, receipt.NAMESPACE)
    paths["foreign"].with_name(f"{paths['foreign'].name}.sig").write_bytes(signature)
    paths["gone"].unlink()
    ours.stop()
    a_time_passes(ours)
    look_each(ours, "PT1S")
    ours.start()
    expected = ["matched accept", "missed", "missed", "missed", "refused signature", "refused signature"]
    eventually(lambda: outcomes(ours) == expected, ours)
    assert [path.parent.name for path in kept(ours)] == [sent["good"]]
    status = json.loads(ours.cli("status", "--json").stdout)
    assert status["receipts_missing"] == {"demo": 3}
    assert receipt_shown(ours, sent["gone"])["state"] == "missed"
    ours.stop()
    ours.start()
    ran = status["jobs"]["receipts demo/partner"]
    eventually(lambda: _last_look(ours) > ran, ours)
    assert outcomes(ours) == expected


def _last_look(daemon: Daemon) -> str:
    return json.loads(daemon.cli("status", "--json").stdout)["jobs"]["receipts demo/partner"]


def a_time_passes(daemon: Daemon) -> None:
    """As if what was delivered had been delivered an hour earlier."""
    with contextlib.closing(sqlite3.connect(daemon.root / "state/ledger.db")) as ledger, ledger:
        ledger.execute(f"UPDATE return_receipt SET delivered_at = delivered_at - {HOUR}")


def test_an_erasure_removes_the_receipt_of_what_it_removes(ours: Daemon) -> None:
    email = "jan@example.org"
    ours.start()
    sent = deliver(
        ours, **{f"{email}.csv": b"bread", "table.csv": f"email\n{email}\n".encode(), "milk": b"m"}
    )
    eventually(lambda: len(told(ours)) == 3, ours)
    opened = ours.cli("erasure", "open", "--link", "demo", "--identifier", f"email={email}", "--json")
    request = json.loads(opened.stdout)["id"]
    for step in (("find",), ("approve", "--by", "Privacy Officer"), ("run",)):
        done = ours.cli("erasure", step[0], request, *step[1:])
        assert done.returncode == 0, done.stderr
    assert [path.parent.name for path in kept(ours)] == [sent["milk"]]
    left = (path for path in ours.link.rglob("*") if path.is_file())
    assert not any(email.encode() in path.read_bytes() for path in left)
    absent = ours.cli("transfer", "receipt", sent["table.csv"], "--theirs")
    assert (absent.returncode, "no receipt of the counterparty's" in absent.stderr) == (1, True)


def test_nothing_is_looked_for_where_it_is_not_asked_for(ours: Daemon, partner: Daemon) -> None:
    text = ours.link_config.read_text()
    ours.link_config.write_text(re.sub(r"(?s)\[remote\.receipts\].*?\n\n", "\n", text))
    ours.start()
    sent = deliver(ours, report=b"x")
    status = json.loads(ours.cli("status", "--json").stdout)
    assert "receipts demo/partner" not in status["jobs"]
    assert receipt_shown(ours, sent["report"]) is None
    ours.link_config.write_text(text)
    ours.reload()
    (ours.outbound / "later").write_bytes(b"y")
    eventually(lambda: outcomes(ours) == ["matched accept"], ours)
    assert told(ours)[0]["data"]["transfer"] == transfers(ours)["later"]


@pytest.mark.slow
def test_each_receipt_counts_once_though_both_are_killed(ours: Daemon, partner: Daemon) -> None:
    ours.start()
    sent = make_files(ours.outbound, 40, seed=5)
    for count, daemon in ((1, ours), (10, partner), (20, ours)):
        eventually(lambda count=count: len(kept(ours)) >= count, ours)
        daemon.kill()
        daemon.start()
    eventually(lambda: states(ours)["done"] == len(sent), ours)
    eventually(lambda: len(kept(ours)) == len(sent), ours)
    eventually(lambda: len(told(ours)) >= len(sent), ours)
    assert outcomes(ours) == ["matched accept"] * len(sent)
    assert {event["data"]["transfer"] for event in told(ours)} == {*transfers(ours).values()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd(tmp_path / "sshd") as running:
        yield running


def test_a_folder_of_receipts_that_is_meant_to_harm_costs_its_owner_alone(
    tmp_path: Path, server: Sshd
) -> None:
    incoming, there = server.root / "in", server.root / "receipts"
    incoming.mkdir()
    today = datetime.now(UTC).date()
    folder = there / str(today) / "0"
    folder.mkdir(parents=True)
    daemon = Daemon(tmp_path / "instance")
    with_remote(daemon, server, outbound(incoming))
    signers = sshsig.allowed_signer(KEY.verifier, receipt.NAMESPACE)
    collect_receipts(daemon, signers, f'folder = "{there}"')
    route, _, rest = str(incoming).strip("/").partition("/")
    said = {"route": route, "peer": server.user, "instance": KEY.name, "size": 1, "sha256": SHA256}

    def put(index: int, name: str, content: bytes | None = None) -> None:
        made = claim(index, received=datetime.now(UTC), name=f"{rest}/{name}", **said)
        data = receipt.content(made) if content is None else content
        path = folder / f"{name}.{made.transfer}.{index}.received.json"
        path.with_name(f"{path.name}.sig").write_bytes(sshsig.sign(data, KEY, receipt.NAMESPACE))
        draft = there / "draft"
        draft.write_bytes(data)
        draft.rename(path)

    with daemon:
        (daemon.outbound / "good").write_bytes(b"x")
        eventually(lambda: states(daemon) == {"done": 1}, daemon)
        put(1, "huge", b" " * (8 << 20))
        put(2, "malformed", b'{"format": "sftpd receipt v1"')
        put(3, "nested", b"[" * 60_000)
        put(4, "never")
        os.mkfifo(folder / "fifo.06h1.5.received.json")
        (folder / "link.06h1.6.received.json").symlink_to("/etc/passwd")
        (folder / "folder.06h1.7.received.json").mkdir()
        (folder / "\n.06h1.8.received.json").write_bytes(b"{}")
        (folder / f"{'x' * 200}.06h1.9.received.json").write_bytes(b"{}")
        for number in range(3000):
            (folder / f"junk-{number}").touch()
        (there / str(today) / "1").symlink_to("0")
        (there / "9999-12-31/0/deep/er/still").mkdir(parents=True)
        (there / "9999-12-31/0/x.06h1.1.received.json").write_bytes(b"{}")
        put(999, "good")
        expected = [
            "matched accept",
            "refused malformed",
            "refused malformed",
            "refused size_limit",
            "refused unknown",
            "refused unsigned",
            "refused unsigned",
        ]
        eventually(lambda: outcomes(daemon) == expected, daemon)
        (daemon.outbound / "more").write_bytes(b"y")
        eventually(lambda: states(daemon) == {"done": 2}, daemon)
        assert outcomes(daemon) == expected
        assert len(kept(daemon)) == 1


SHA256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
"""Of the file `x`."""
