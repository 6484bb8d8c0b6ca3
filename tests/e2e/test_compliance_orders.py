"""A counterparty with OpenSSH and nothing of ours orders an erasure, which one person has to approve."""

import json
import re
import subprocess
from pathlib import Path

from daemon import Daemon, eventually
from receipt_scene import verifies

from sftpd.audit.checkpoint import VerifierKey
from sftpd.erasure.certificate import verify

DOCS = (Path(__file__).parents[2] / "docs/erasure.md").read_text()
DOCS = DOCS.partition("\n### Orders of the counterparty\n")[2].partition("\n### ")[0]
(ORDER,) = re.findall(r"^```json\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
SIGN, TRUST, VERIFY = re.findall(r"^```sh\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
(SETTINGS,) = re.findall(r"^```toml\n\[erasure\]\n(.*?)\n```$", DOCS, re.MULTILINE | re.DOTALL)
JAN = "jan@example.org"
BEFORE = f"name,email\nJan,{JAN}\nAnna,anna@example.org\n"
AFTER = "name,email\nAnna,anna@example.org\n"


def test_an_order_runs_to_a_certificate_with_nobody_at_the_keyboard_but_the_approver(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    daemon.file("2026-0042.order.json", ORDER.encode())
    shell(SIGN, daemon.desk)
    (daemon.root / "order_key.pub").write_bytes((daemon.desk / "order_key.pub").read_bytes())
    shell(TRUST, daemon.root)
    daemon.configure_link("erasure", SETTINGS, "require_second_person = true")
    with daemon:
        daemon.file("list.csv", BEFORE.encode())
        # The order is the very first thing, so that it waits for its signature.
        daemon.sftp_done("put list.csv /upload/list.csv", "put 2026-0042.order.json /requests/")
        daemon.sftp_done("put 2026-0042.order.json.sig /requests/")
        eventually(lambda: [one["state"] for one in listed(daemon)] == ["review"], daemon)
        (request,) = listed(daemon)
        assert request["opened_by"] == "order 2026-0042 by privacy@acme.example"
        assert "order.json" not in daemon.sftp_done("ls /requests")

        # A file that nobody who may has signed has no effect but its refusal.
        daemon.file("bad.order.json", ORDER.replace(JAN, "piet@example.org").replace("1077", "1078").encode())
        daemon.sftp_done(
            "put bad.order.json /requests/", "put 2026-0042.order.json.sig /requests/bad.order.json.sig"
        )
        eventually(lambda: ".refused.json" in answers(daemon), daemon)

        approved = daemon.cli("erasure", "approve", request["id"], "--by", "Privacy Officer")
        assert approved.returncode == 0, approved.stderr
        daemon.kill()
        daemon.start()
        eventually(lambda: "2026-0042.certificate.json" in answers(daemon), daemon)

        assert (daemon.inbound / "list.csv").read_text() == AFTER
        daemon.sftp_done("get -r /receipts/orders .")
        folder = daemon.desk / "orders"
        shell(VERIFY.replace("sftp.example.org", "demo.local"), folder)
        (refused,) = folder.glob("*.refused.json")
        assert verifies(refused, folder / "allowed_signers", "demo.local", "answer@sftpd")
        assert json.loads(refused.read_text())["reason"] == "ORDER_SIGNATURE"
        key = json.loads(daemon.cli("erasure", "certificate", request["id"], "--json").stdout)["key"]
        certificate = verify((folder / "2026-0042.certificate.json").read_bytes(), VerifierKey.parse(key))
        assert (certificate.request, certificate.second_search.remaining) == (request["id"], 0)

        # The same order again changes nothing.
        before = answers(daemon)
        daemon.sftp_done("put 2026-0042.order.json* /requests/")
        eventually(lambda: daemon.events_of("order.repeated"), daemon)
        assert [one["state"] for one in listed(daemon)] == ["closed"]
        assert answers(daemon) == before
        assert JAN not in json.dumps(daemon.events())
        assert daemon.cli("audit", "verify").returncode == 0
        daemon.stop()
    files = [path for path in daemon.root.rglob("*") if path.is_file()]
    assert [path for path in files if JAN.encode() in path.read_bytes()] == []
    assert JAN not in daemon.log


def shell(command: str, folder: Path) -> None:
    done = subprocess.run(["sh", "-ec", command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def listed(daemon: Daemon) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(daemon.cli("erasure", "list", "--json").stdout)
    return found


def answers(daemon: Daemon) -> str:
    """The names of the answers that lie there."""
    return " ".join(sorted(path.name for path in (daemon.link / ".sftpd/receipts/orders").glob("*.json")))
