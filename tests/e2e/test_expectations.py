"""Expected files, told of by the daemon: over restarts, reloads and the time in which it did not run."""

import contextlib
import json
import sqlite3

import pytest
from daemon import Daemon, eventually

DAY = 86400 * 10**6
EXPECT = """
[[expect]]
name = "orders"
glob = "orders-*.csv"
by = "00:00"
warn = "PT1S"
"""


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "instance")
    with made.link_config.open("a") as file:
        file.write(EXPECT)
    yield made
    made.kill()


def told(daemon: Daemon) -> list[tuple[str, str | None]]:
    kinds = ("expectation.at_risk", "expectation.missed", "expectation.met")
    return [(event["type"], event["data"].get("arrival")) for event in daemon.events_of(*kinds)]


def standing(daemon: Daemon) -> str:
    status = json.loads(daemon.cli("status", "--json").stdout)
    return status["expectations"]["demo/orders"]["state"]


def a_day_passes(daemon: Daemon) -> None:
    """As if the daemon had ended a day ago."""
    with contextlib.closing(sqlite3.connect(daemon.root / "state/ledger.db")) as ledger, ledger:
        ledger.execute(f"UPDATE expectation SET deadline = deadline - {DAY}, since = since - {DAY}")


def test_a_deadline_that_passed_while_nobody_ran_is_told_once_and_a_late_file_meets_it(daemon):
    daemon.start()
    eventually(lambda: standing(daemon) == "awaited", daemon)
    daemon.stop()
    a_day_passes(daemon)

    daemon.start()
    eventually(lambda: told(daemon) == [("expectation.missed", None)], daemon)
    assert standing(daemon) == "missed"
    daemon.reload()
    daemon.stop()
    daemon.start()

    daemon.sftp_done(f"put {daemon.file('orders-1.csv', b'a;b')} /upload/orders-1.csv")
    eventually(lambda: standing(daemon) == "awaited", daemon)
    assert told(daemon) == [("expectation.missed", None), ("expectation.met", "late")]

    daemon.reload()
    daemon.sftp_done(f"put {daemon.file('orders-2.csv', b'a;b')} /upload/orders-2.csv")
    eventually(lambda: standing(daemon) == "met", daemon)
    assert told(daemon)[2:] == [("expectation.met", "in_time")]


def test_a_configuration_that_expects_nonsense_is_refused(daemon):
    text = daemon.link_config.read_text()
    for old, new, complaint in (
        ('by = "00:00"', 'by = "24:00"', 'expect[0].by: found "24:00"'),
        ("warn = ", 'from = "other"\nwarn = ', 'unknown inbound route "other", allowed: upload'),
        ("warn = ", "days = []\nwarn = ", "allowed: one or more"),
        ("warn = ", 'days = ["Mo"]\nwarn = ', "expect[0].days"),
        ('"PT1S"', '"P2D"', "86400 or less"),
    ):
        daemon.link_config.write_text(text.replace(old, new))
        checked = daemon.cli("check")
        assert checked.returncode == 2
        assert complaint in checked.stdout + checked.stderr
