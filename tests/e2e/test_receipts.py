"""A partner with OpenSSH and nothing of ours gets a receipt of each file, and verifies it."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from daemon import SFTPD, Daemon, eventually
from receipt_scene import receipts_in, verifies
from sshd import sshd
from traffic_scene import inbound, make_files, outbound, states, with_remote
from waiting import holds

DOCS = (Path(__file__).parents[2] / "docs/receipts.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("receipts") / "instance") as running:
        yield running


def written(daemon):
    """The receipts that lie there, by kind and name of the file."""
    found = {}
    for path in (daemon.link / ".sftpd/receipts").rglob("*.json"):
        told = json.loads(path.read_bytes())
        found[path.name.split(".")[-2], told["name"]] = path
    return found


def fetched(daemon, at):
    """What the partner fetches of `/receipts`."""
    daemon.sftp_done(f"get -r /receipts {at}")
    return daemon.desk / at


def test_an_upload_is_receipted_and_the_partner_verifies_that_alone(daemon):
    content = b"name;amount\nJan;5\n"
    daemon.file("report.csv", content)
    daemon.sftp_done("mkdir /upload/march", "put report.csv /upload/march/report.csv")
    eventually(lambda: ("received", "march/report.csv") in written(daemon), daemon)

    copy = fetched(daemon, "after-upload")

    (path,) = [path for path in receipts_in(copy) if path.name.startswith("report.csv.")]
    assert verifies(path, copy / "allowed_signers", "demo.local")
    told = json.loads(path.read_bytes())
    assert (told["name"], told["size"]) == ("march/report.csv", len(content))
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    # The position is that of the event in the log that the partner reads.
    event = daemon.events()[told["audit"]["index"]]
    assert (event["type"], event["data"]["transfer"]) == ("transfer.received", told["transfer"])
    path.write_bytes(path.read_bytes().replace(b"march", b"april"))
    assert not verifies(path, copy / "allowed_signers", "demo.local")


def test_an_offered_file_is_receipted(daemon):
    daemon.file("prices.csv", b"bread;2\n").rename(daemon.outbound / "prices.csv")
    eventually(lambda: ("delivered", "prices.csv") in written(daemon), daemon)
    copy = fetched(daemon, "after-offer")
    (path,) = [path for path in receipts_in(copy) if path.name.startswith("prices.csv.")]
    assert verifies(path, copy / "allowed_signers", "demo.local")
    assert json.loads(path.read_bytes())["sha256"] == hashlib.sha256(b"bread;2\n").hexdigest()


def test_the_commands_of_the_docs_do_what_they_say(daemon):
    daemon.file("docs.csv", b"x")
    daemon.sftp_done("put docs.csv /upload/docs.csv")
    eventually(lambda: ("received", "docs.csv") in written(daemon), daemon)
    copy = fetched(daemon, "receipts")
    verify, signer = COMMANDS
    verify = verify.replace("sftp.example.org", "demo.local")

    def run(script):
        environment = {"PATH": f"{SFTPD.parent}:/usr/bin:/bin", "SFTPD_CONFIG": str(daemon.config)}
        command = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(command, cwd=daemon.desk, env=environment, capture_output=True, text=True)

    done = run(verify)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('Good "receipt@sftpd" signature for demo.local') == len(receipts_in(copy)) > 0
    assert run(signer).stdout == (copy / "allowed_signers").read_text()
    path = receipts_in(copy)[0]
    path.write_bytes(path.read_bytes() + b" ")
    assert run(verify).returncode != 0


def test_the_documented_keys_are_those_of_receipts(daemon):
    daemon.file("keys.csv", b"x")
    daemon.sftp_done("put keys.csv /upload/keys.csv")
    eventually(lambda: ("received", "keys.csv") in written(daemon), daemon)
    told = json.loads(written(daemon)["received", "keys.csv"].read_bytes())
    audit = {f"audit.{key}" for key in told.pop("audit")}
    rows = [line.split("|")[1] for line in DOCS.splitlines() if line.startswith("| `")]
    documented = {key for row in rows for key in re.findall(r"`([a-z0-9.]+)`", row)}
    assert documented == {*told, *audit, "delivered", "acknowledged", "released", "proof"}


def test_the_operator_sees_it_and_whether_it_holds(daemon):
    daemon.file("shown.csv", b"x")
    daemon.sftp_done("put shown.csv /upload/shown.csv")
    eventually(lambda: ("received", "shown.csv") in written(daemon), daemon)
    path = written(daemon)["received", "shown.csv"]
    genuine = path.read_bytes()
    transfer = json.loads(genuine)["transfer"]
    plain = daemon.cli("transfer", "receipt", transfer)
    shown = daemon.cli("transfer", "receipt", transfer, "--verify")
    assert shown.returncode == 0, shown.stderr
    relative = path.relative_to(daemon.link / ".sftpd/receipts")
    assert plain.stdout.splitlines() == [f"/receipts/{relative}", genuine.decode()]
    assert shown.stdout.splitlines() == [*plain.stdout.splitlines(), "valid"]
    try:
        path.write_bytes(genuine.replace(b"shown", b"other"))
        changed = daemon.cli("transfer", "receipt", transfer, "--verify")
        assert changed.returncode == 1
        assert "does not hold" in changed.stdout
    finally:
        path.write_bytes(genuine)
    absent = daemon.cli("transfer", "receipt", "x" * 26)
    assert (absent.returncode, "no transfer" in absent.stderr) == (1, True)


def test_an_erasure_leaves_no_receipt_that_names_the_person_or_the_content_that_was(tmp_path):
    email = "jan@example.org"
    table = f"name,email\nJan,{email}\nAnna,anna@example.org\n".encode()
    with Daemon(tmp_path / "instance") as daemon:
        daemon.file("table", table)
        daemon.file("other", b"bread")
        named = f"/upload/{email}.csv"
        daemon.sftp_done(
            "put table /upload/customers.csv", f"put other {named}", "put table /upload/copy.csv"
        )
        daemon.file("milk", b"milk")
        daemon.sftp_done("put milk /upload/stays.csv")
        daemon.sftp_done("put table /upload/taken.csv")
        (daemon.inbound / "taken.csv").unlink()  # as its consumer does
        eventually(lambda: len(written(daemon)) == 5, daemon)
        opened = daemon.cli("erasure", "open", "--link", "demo", "--identifier", f"email={email}", "--json")
        request = json.loads(opened.stdout)["id"]
        for step in (("find",), ("approve", "--by", "Privacy Officer"), ("run",)):
            done = daemon.cli("erasure", step[0], request, *step[1:])
            assert done.returncode == 0, done.stderr
        left = [path for path in (daemon.link / ".sftpd/receipts").rglob("*") if path.is_file()]
        assert set(written(daemon)) == {("received", "stays.csv")}
        old = hashlib.sha256(table).hexdigest()
        assert not any(email in f"{path}{path.read_text()}" or old in path.read_text() for path in left)
        # What was written once is not written again from the log.
        daemon.kill()
        daemon.start()
        daemon.sftp_done("put milk /upload/later.csv")
        eventually(lambda: ("received", "later.csv") in written(daemon), daemon)
        assert set(written(daemon)) == {("received", "stays.csv"), ("received", "later.csv")}


def test_a_link_without_receipts_gets_none_until_a_reload_says_otherwise(tmp_path):
    daemon = Daemon(tmp_path / "instance")
    daemon.configure_link("link", "receipts = false")
    with daemon:
        daemon.file("local", b"x")
        daemon.sftp_done("put local /upload/first.csv")
        assert len(daemon.events_of("transfer.received")) == 1
        daemon.configure_link("link", "receipts = true")
        daemon.reload()
        daemon.sftp_done("put local /upload/second.csv")
        eventually(lambda: written(daemon), daemon)
        assert set(written(daemon)) == {("received", "second.csv")}
        transfer = json.loads(daemon.cli("transfer", "list", "--json").stdout)[0]["id"]
        absent = daemon.cli("transfer", "receipt", transfer)
        assert (absent.returncode, "no receipt" in absent.stderr) == (1, True)


@pytest.mark.slow
def test_each_file_both_ways_has_one_receipt_though_sftpd_is_killed(tmp_path):
    with sshd(tmp_path / "sshd") as server:
        offered = server.root / "out"
        offered.mkdir()
        (server.root / "in").mkdir()
        daemon = Daemon(tmp_path / "instance")
        both = "\n[[route]]\n".join([outbound(server.root / "in"), inbound(offered, '"leave"')])
        with_remote(daemon, server, both)
        sent = make_files(daemon.outbound, 60, seed=21, prefix="sent")
        pulled = make_files(offered, 60, seed=22, prefix="pulled")
        try:
            daemon.start()
            for mark in (20, 60, 90):
                assert holds(lambda mark=mark: len(written(daemon)) > mark, 120), daemon.log
                daemon.kill()
                daemon.start()
            assert holds(lambda: states(daemon) == {"done": 120}, 120), daemon.log
            wanted = {*(("delivered", name) for name in sent), *(("received", name) for name in pulled)}
            assert holds(lambda: written(daemon).keys() == wanted, 60), daemon.log
            copy = fetched(daemon, "all")
            daemon.stop()
        finally:
            daemon.kill()
    receipts = receipts_in(copy)
    assert len(receipts) == 120
    hashes = {
        json.loads(path.read_bytes())["name"]: json.loads(path.read_bytes())["sha256"] for path in receipts
    }
    assert hashes == sent | pulled
    assert all(verifies(path, copy / "allowed_signers", "demo.local") for path in receipts)
