"""A daemon whose clock jumps: it disposes of nothing and says so. a shim moves its civil time alone."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sshd
from daemon import SFTPD, Daemon, eventually
from test_service_metrics import scrape

YEARS = timedelta(days=30 * 365)
SHIM = Path(__file__).with_name("clock_shim.c")


class Shifted(Daemon):
    """A daemon whose civil time, and no other clock, the test sets while it runs."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, [SFTPD])
        self.offset = root.with_name("offset")
        self.set_clock(timedelta())
        self.shim = root.with_name("clock.so")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", self.shim, SHIM], check=True)

    def set_clock(self, offset: timedelta) -> None:
        """Set it ahead of the machine's."""
        new = self.offset.with_name("new")
        new.write_text(str(int(offset.total_seconds())))
        new.rename(self.offset)

    def start(self) -> None:
        before = len(self.log)
        self.launch(environment={"LD_PRELOAD": str(self.shim), "SHIM_OFFSET": str(self.offset)})
        eventually(lambda: " serves " in self.log[before:], self)

    def start_before(self, moment: datetime) -> None:
        """Start it anew a few seconds before `moment`, or as many as this machine takes to start it."""
        ahead = timedelta(seconds=5)
        while True:
            self.kill()
            self.set_clock(offset := moment - ahead - datetime.now(UTC))
            self.start()
            if datetime.now(UTC) + offset < moment:
                return
            ahead *= 2

    def tells(self, *words: str) -> Any:
        return json.loads(self.cli(*words, "--json").stdout)

    def frozen(self) -> dict[str, str]:
        told: dict[str, str] = self.tells("status")["retention_frozen"]
        return told


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Shifted]:
    made = Shifted(tmp_path / "instance")
    made.port_of_metrics = sshd.free_port()
    made.configure("metrics", f'listen = "127.0.0.1:{made.port_of_metrics}"')
    made.configure("instance", 'time_zone = "UTC"')
    made.configure("scheduler", 'retention_at = "03:15"')
    made.configure_link("[retention]", 'period = "P7Y"', 'glob = "*.csv"')
    with made as running:
        running.file("local", b"name\n")
        running.sftp_done("put local /upload/kept.csv")
        yield running


def test_a_clock_that_jumps_thirty_years_disposes_of_nothing_and_says_so(daemon: Shifted) -> None:
    assert daemon.frozen() == {}
    daemon.sftp_done("put local /upload/held.txt")
    until = ("--until", "2040-01-01T00:00:00Z", "--reason", "court order")
    daemon.tells("hold", "add", "--link", "demo", "--file", "inbound/held.txt", *until)
    daemon.set_clock(YEARS)
    daemon.sftp_done("-rm /upload/held.txt")
    assert (daemon.inbound / "held.txt").exists()
    eventually(daemon.frozen, daemon)
    assert list(daemon.frozen()) == ["all links CLOCK_PARTED"]
    (daemon.inbound / "held.txt").unlink()
    planned = daemon.tells("retention", "plan")
    actions = {item["path"]: item["action"] for item in planned["items"]}
    assert actions == {"inbound/kept.csv": "dispose", "inbound/held.txt": "keep"}
    assert [freeze["reason"] for freeze in planned["frozen"]] == ["CLOCK_PARTED"]
    refused = daemon.cli("retention", "run", "--plan", planned["plan"])
    assert refused.returncode == 1
    assert "retention is frozen: the clock went ahead by 109" in refused.stderr
    assert scrape(daemon)["sftpd_retention_frozen", "CLOCK_PARTED"] == 1

    daemon.start_before(datetime(2057, 1, 1, 3, 15, tzinfo=UTC))
    eventually(lambda: "job=retention" in daemon.log, daemon)
    assert list(daemon.frozen()) == ["all links CLOCK_PARTED"]
    assert [path.name for path in daemon.inbound.iterdir()] == ["kept.csv"]
    assert len(daemon.events_of("retention.frozen", log="system")) == 1

    daemon.kill()
    daemon.set_clock(timedelta())
    daemon.start()
    eventually(lambda: not daemon.frozen(), daemon)
    assert scrape(daemon)["sftpd_retention_frozen", "CLOCK_PARTED"] == 0
    (thawed,) = daemon.events_of("retention.unfrozen", log="system")
    assert (thawed["data"]["reasons"], thawed["data"]["cause"]) == (["CLOCK_PARTED"], "ended")
    assert daemon.events_of("retention.intended") == []
    assert [path.name for path in daemon.inbound.iterdir()] == ["kept.csv"]


def test_somebody_who_confirms_the_time_is_named(daemon: Shifted) -> None:
    daemon.set_clock(YEARS)
    eventually(daemon.frozen, daemon)
    lifted = daemon.cli("retention", "unfreeze", "--reason", "an archive of 2026", "--by", "jan")
    assert lifted.returncode == 0, lifted.stderr
    assert daemon.frozen() == {}
    again = daemon.cli("retention", "unfreeze", "--reason", "an archive of 2026", "--by", "jan")
    assert (again.returncode, "nothing is frozen" in again.stderr) == (1, True)
    plan = daemon.tells("retention", "plan")["plan"]
    done = daemon.cli("retention", "run", "--plan", plan)
    assert done.returncode == 0, done.stderr
    assert list(daemon.inbound.iterdir()) == []
    assert len(daemon.events_of("retention.unfrozen", log="system")) == 1
    (thawed,) = [event for event in daemon.tells("audit", "tail") if event["type"] == "retention.unfrozen"]
    assert thawed["public"] == {"reasons": ["CLOCK_PARTED"], "cause": "confirmed"}
    assert thawed["private"] == {"by": "jan", "reason": "an archive of 2026"}
