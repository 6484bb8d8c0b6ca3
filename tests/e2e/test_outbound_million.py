"""A million files wait for a remote that is down, take little memory, and go when it is back."""

import os
import time
from pathlib import Path

import pytest
import usage
from daemon import Daemon
from sshd import sshd
from traffic_scene import outbound, states, with_remote
from waiting import holds

from sftpd.audit.event import seal
from sftpd.clock import SystemClock
from sftpd.exchange import records
from sftpd.exchange.records import Transfer
from sftpd.exchange.transfer import Outcome
from sftpd.files.fingerprint import fingerprint, identity
from sftpd.ledger.ledger import Ledger
from sftpd.names import TransferId, new_id

FILES, IN_A_FOLDER, IN_A_UNIT = 1_000_000, 1000, 10_000
MEMORY_LIMIT = 300 * usage.MIB
PATIENCE = 1800.0
STILL = 5.0
"""Seconds over which a monitor that has only to try the remote takes a tenth of the time at most."""


@pytest.mark.soak
def test_a_million_files_that_wait_take_little_memory_and_go_when_the_remote_is_back(tmp_path):
    daemon = Daemon(tmp_path / "instance")
    with sshd(tmp_path / "sshd") as server:
        with_remote(daemon, server, outbound(server.root, 'after = "remove"'))
        daemon.link_config.write_text(daemon.link_config.read_text().replace("cap = 0.4 }", "cap = 10 }"))
        server.kill()
        with daemon:
            daemon.stop()
        _queue(daemon)

        began = time.monotonic()
        with daemon:
            started = time.monotonic() - began
            assert holds(lambda: _is_still(daemon), PATIENCE), daemon.log
            used = usage.total(usage.sample(daemon.pid)).pss
            still = time.monotonic() - began
            print(f"\nserves after {started:.1f} s, idle after {still:.0f} s: {used >> 20} MiB")
            assert used < MEMORY_LIMIT
            assert states(daemon).total() == FILES
            server.start()
            assert holds(lambda: states(daemon)["done"] > IN_A_FOLDER, PATIENCE), daemon.log
            assert states(daemon).total() == FILES
            assert usage.total(usage.sample(daemon.pid)).pss < MEMORY_LIMIT


def _queue(daemon: Daemon) -> None:
    """Drop the files and enter each in the ledger, as was done while sftpd ran before."""
    ledger = Ledger.open(f"sqlite:///{daemon.root}/state/ledger.db", clock=SystemClock(), seal=seal)
    try:
        for first in range(0, FILES, IN_A_UNIT):
            transfers = [_dropped(daemon.outbound, number) for number in range(first, first + IN_A_UNIT)]

            def enter(unit, transfers=transfers):
                for transfer in transfers:
                    records.insert(unit, transfer, Outcome.ACCEPTED, not_before=unit.now)

            ledger.write(enter)
    finally:
        ledger.close()


def _dropped(folder: Path, number: int) -> Transfer:
    parts = (b"%04d" % (number // IN_A_FOLDER), b"%06d.csv" % number)
    path = folder / os.fsdecode(b"/".join(parts))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"%d\n" % number)
    with path.open("rb") as file:
        found, content = identity(file.fileno()), fingerprint(file.fileno())
    return Transfer(
        id=TransferId(new_id(SystemClock().now())),
        link="demo",
        direction="outbound",
        route="out",
        peer="partner",
        path=parts,
        source=str(found),
        size=content.size,
        sha256=content.sha256.hex(),
    )


def _is_still(daemon: Daemon) -> bool:
    before = _ticks(daemon)
    time.sleep(STILL)
    return _ticks(daemon) - before < 10 * STILL


def _ticks(daemon: Daemon) -> int:
    """Hundredths of a second that the monitor has taken."""
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])
