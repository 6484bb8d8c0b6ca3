"""A daemon whose civil time is set back while files cross: nothing waits until the clock has caught up."""

import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from daemon import eventually
from sshd import sshd
from test_compliance_guards import Shifted
from traffic_scene import inbound, names, outbound, with_remote

AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def server(tmp_path):
    with sshd(tmp_path / "sshd") as running:
        (running.root / "offered").mkdir()
        (running.root / "taken").mkdir()
        yield running


@pytest.fixture
def daemon(tmp_path, server):
    made = Shifted(tmp_path / "instance")
    pull = "[[route]]\n" + inbound(server.root / "offered", '"delete"', "settle = 0")
    with_remote(made, server, outbound(server.root / "taken") + pull)
    with made as running:
        yield running


@pytest.mark.parametrize("step", [AN_HOUR, A_DAY])
def test_pulls_deliveries_and_receipts_go_on_at_once_when_the_clock_is_set_back(daemon, server, step):
    def cross(number):
        (server.root / f"offered/in-{number}.csv").write_bytes(b"1")
        (daemon.outbound / f"out-{number}.csv").write_bytes(b"1")
        expected = [f"in-{each}.csv" for each in range(number + 1)]
        eventually(lambda: names(daemon.inbound) == expected, daemon)
        eventually(lambda: f"out-{number}.csv" in names(server.root / "taken"), daemon)

    cross(0)
    daemon.set_clock(-step)
    cross(1)
    daemon.kill()
    daemon.set_clock(-2 * step)
    daemon.start()
    cross(2)
    eventually(lambda: len(receipts(daemon)) == 6, daemon)
    signers = daemon.link / ".sftpd/receipts/allowed_signers"
    check = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "demo.local", "-n", "receipt@sftpd", "-s"]
    for receipt in receipts(daemon):
        with receipt.open("rb") as content:
            verified = subprocess.run(
                [*check, f"{receipt}.sig"], stdin=content, capture_output=True, check=False
            )
        assert verified.returncode == 0, verified.stderr
    verified = daemon.cli("audit", "verify")
    assert verified.returncode == 0, verified.stderr
    told = [json.loads(path.read_text()) for path in receipts(daemon)]
    assert len({one["transfer"] for one in told}) == 6
    listed = daemon.tells("transfer", "list")
    assert [one["began"] for one in listed] == sorted(one["began"] for one in listed)
    assert {one["id"] for one in listed} == {one["transfer"] for one in told}
    assert abs(datetime.fromisoformat(listed[0]["began"]) - (datetime.now(UTC) - 2 * step)) < AN_HOUR / 2


def receipts(daemon):
    return sorted((daemon.link / ".sftpd/receipts").glob("20*/*/*.json"))
