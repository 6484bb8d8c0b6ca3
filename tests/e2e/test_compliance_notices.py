"""One sftpd delivers to another and erases a person: the other has the notice, and its answer counts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from daemon import Daemon, eventually
from traffic_scene import states, with_sftpd

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure import order
from sftpd.exchange import answers

PERSON = "jan@example.org"


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
    partner.start()
    yield made
    made.kill()


def test_the_recipient_of_a_delivery_is_told_and_its_answer_acknowledges(
    ours: Daemon, partner: Daemon
) -> None:
    ours.start()
    (ours.outbound / "list.csv").write_text(f"name,email\nJan,{PERSON}\nKim,kim@example.org\n")
    eventually(lambda: states(ours) == {"done": 1}, ours)
    request = erasure(ours, "open", "--link", "demo", "--identifier", f"email={PERSON}")["id"]
    for step in ("find", "approve", "run"):
        erasure(ours, step, request)
    eventually(lambda: erasure(ours, "show", request)["state"] == "closed", ours)
    (notice,) = erasure(ours, "notices", request)
    assert (notice["remote"], notice["files"], notice["state"]) == ("partner", 1, "delivered")

    came = partner.link / f".sftpd/requests/{notice['id']}.order.json"
    content, signature = came.read_bytes(), came.with_name(f"{came.name}.sig").read_bytes()
    ours_key = signing_key(ours).verifier
    assert order.verify(content, signature, [ours_key]) == ours_key
    assert [file.name for file in order.read(content).files] == ["list.csv"]

    answer(partner, notice["id"], json.dumps({"order": notice["id"], "status": "denied"}).encode())
    eventually(lambda: erasure(ours, "notices", request)[0]["answer"] == "denied", ours)
    assert ours.cli("audit", "verify").returncode == 0
    ours.stop()
    files = [path for path in ours.root.rglob("*") if path.is_file()]
    assert [path for path in files if PERSON.encode() in path.read_bytes()] == []
    assert PERSON not in ours.log


def answer(daemon: Daemon, order_id: str, document: bytes) -> None:
    """Put an answer where a counterparty finds it, signed as the daemon does."""
    path = daemon.link / f".sftpd/receipts/orders/{order_id}.denied.json"
    path.parent.mkdir()
    signature = sshsig.sign(document, signing_key(daemon), answers.NAMESPACE)
    path.with_name(f"{path.name}.sig").write_bytes(signature)
    path.write_bytes(document)


def signing_key(daemon: Daemon) -> SigningKey:
    key = load_ssh_private_key((daemon.root / "keys/audit_ed25519").read_bytes(), None)
    return SigningKey("demo.local", key)


def erasure(daemon: Daemon, *words: str):
    """What a step of a request that must succeed prints."""
    done = daemon.cli("erasure", *words, "--json")
    assert done.returncode == 0, f"{done.stderr}\n{daemon.log}"
    return json.loads(done.stdout)
