"""One sftpd delivers to another and erases a person: the other is told, erases too, and certifies."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Daemon, eventually
from traffic_scene import states, with_sftpd

PERSON = "jan@example.org"
BEFORE = f"name,email\nJan,{PERSON}\nKim,kim@example.org\n"
AFTER = "name,email\nKim,kim@example.org\n"


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "partner")
    yield made
    made.kill()


@pytest.fixture
def ours(tmp_path: Path, partner: Daemon) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "ours")
    with_sftpd(made, partner)
    (made.root / "keys/partner_signers").write_text(partner.cli("audit", "signer").stdout)
    table = ["[remote.receipts]", 'signers = "file:keys/partner_signers"', 'every = "PT1S"', ""]
    text = made.link_config.read_text()
    text = text.replace("\n[[route]]", "\n".join(['\nrequests = "/requests"', *table, "[[route]]"]), 1)
    made.link_config.write_text(text)
    signer = made.cli("audit", "signer").stdout.replace("receipt@sftpd", "order@sftpd")
    (partner.root / "keys/orders").write_text(signer)
    partner.configure_link("erasure", 'order_keys = "file:keys/orders"')
    partner.start()
    yield made
    made.kill()


def test_the_recipient_of_a_delivery_is_told_erases_and_certifies(ours: Daemon, partner: Daemon) -> None:
    ours.start()
    (ours.outbound / "list.csv").write_text(BEFORE)
    eventually(lambda: states(ours) == {"done": 1}, ours)
    request = erasure(ours, "open", "--link", "demo", "--identifier", f"email={PERSON}")["id"]
    for step in ("find", "approve", "run"):
        erasure(ours, step, request)
    eventually(lambda: erasure(ours, "show", request)["state"] == "closed", ours)
    (notice,) = erasure(ours, "notices", request)
    assert (notice["remote"], notice["files"], notice["state"]) == ("partner", 1, "delivered")
    eventually(lambda: [one["state"] for one in erasure(partner, "list")] == ["review"], partner)
    (theirs,) = erasure(partner, "list")
    erasure(partner, "approve", theirs["id"], "--by", "Their officer")
    eventually(lambda: erasure(ours, "notices", request)[0]["answer"] == "certificate", ours)
    assert (partner.inbound / "list.csv").read_text() == AFTER
    (notice,) = erasure(ours, "notices", request)
    assert json.loads(notice["document"])["certificate"]["request"] == theirs["id"]
    for daemon in (ours, partner):
        assert daemon.cli("audit", "verify").returncode == 0
        daemon.stop()
        files = [path for path in daemon.root.rglob("*") if path.is_file()]
        assert [path for path in files if PERSON.encode() in path.read_bytes()] == []
        assert PERSON not in daemon.log


def test_a_recipient_who_logs_in_answers_by_a_file(tmp_path: Path) -> None:
    ours, partner = Daemon(tmp_path / "ours"), Daemon(tmp_path / "partner")
    for name, daemon, other in (("answer", ours, partner), ("order", partner, ours)):
        signer = other.cli("audit", "signer").stdout.replace("receipt@sftpd", f"{name}@sftpd")
        (daemon.root / "keys/theirs").write_text(signer)
        daemon.configure_link("erasure", f'{name}_keys = "file:keys/theirs"')
    with ours, partner:
        (ours.outbound / "list.csv").write_text(BEFORE)
        eventually(lambda: "list.csv" in ours.sftp_done("ls /download"), ours)
        ours.sftp_done("get /download/list.csv")
        partner.sftp_done(f"put {ours.desk}/list.csv /upload/list.csv")
        (ours.desk / "list.csv").unlink()
        request = erasure(ours, "open", "--link", "demo", "--identifier", f"email={PERSON}")["id"]
        for step in ("find", "approve", "run"):
            erasure(ours, step, request)
        eventually(lambda: erasure(ours, "notices", request)[0]["state"] == "delivered", ours)
        (notice,) = erasure(ours, "notices", request)
        assert notice["remote"] is None

        # Their people bring the notice to their sftpd, and its answer back.
        ours.sftp_done("get -r /receipts/notices .")
        order, fetched = f"{notice['id']}.order.json", ours.desk / "notices"
        for end in ("", ".sig"):
            partner.sftp_done(f"put {fetched}/{notice['id']}.notice.json{end} /requests/{order}{end}")
        shutil.rmtree(fetched)
        eventually(lambda: [one["state"] for one in erasure(partner, "list")] == ["review"], partner)
        (theirs,) = erasure(partner, "list")
        erasure(partner, "approve", theirs["id"], "--by", "Their officer")
        answer = f"{notice['id']}.certificate.json"
        eventually(lambda: answer in partner.sftp_done("ls /receipts/orders"), partner)
        partner.sftp_done("get -r /receipts/orders .")

        # What is not signed as it must be changes nothing.
        ours.file("denied", b"{}")
        forged = f"{notice['id']}.denied.json"
        ours.sftp_done(
            f"put denied /requests/{forged}", f"put {partner.desk}/orders/{answer}.sig /requests/{forged}.sig"
        )
        eventually(lambda: ".refused.json" in ours.sftp_batch("ls /receipts/orders").stdout, ours)
        ours.sftp_done("get -r /receipts/orders .")
        (refused,) = (ours.desk / "orders").glob("*.refused.json")
        assert json.loads(refused.read_text())["reason"] == "ANSWER_SIGNATURE"
        assert erasure(ours, "notices", request)[0]["state"] == "delivered"

        ours.sftp_done(*(f"put {partner.desk}/orders/{answer}{end} /requests/" for end in ("", ".sig")))
        eventually(lambda: erasure(ours, "notices", request)[0]["answer"] == "certificate", ours)
        eventually(lambda: ".acknowledged.json" in ours.sftp_done("ls /receipts/orders"), ours)
        eventually(lambda: notice["id"] not in ours.sftp_done("ls /receipts/notices"), ours)
        assert answer not in ours.sftp_done("ls /requests")
        (notice,) = erasure(ours, "notices", request)
        assert json.loads(notice["document"])["certificate"]["request"] == theirs["id"]
        assert (partner.inbound / "list.csv").read_text() == AFTER
        for daemon in (ours, partner):
            assert daemon.cli("audit", "verify").returncode == 0
            daemon.stop()
            files = [path for path in daemon.root.rglob("*") if path.is_file()]
            assert [path for path in files if PERSON.encode() in path.read_bytes()] == []
            assert PERSON not in daemon.log


def erasure(daemon: Daemon, *words: str):
    """What a step of a request that must succeed prints."""
    done = daemon.cli("erasure", *words, "--json")
    assert done.returncode == 0, f"{done.stderr}\n{daemon.log}"
    return json.loads(done.stdout)
