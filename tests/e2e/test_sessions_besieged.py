"""An attack costs an honest client at most half its speed, and the daemon no more memory than it grants."""

import filecmp
import os
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon import Daemon, eventually
from siege_scene import ATTACKER, ATTACKS, besieged, pss

MIB = 1 << 20
SIZE = 512 * MIB
TRANSFERS = ("put local /upload/large", "get /upload/large back")
ROUNDS = 3
A_SESSION, AT_WORK = 8 * MIB, 32 * MIB
"""Memory that a session may take, and what one that moves files may take beside that: its channel's window of
8 MiB, and what it has read, sealed and not sent. Nothing limits the whole but the number of sessions."""


@pytest.fixture(scope="module", params=["true", "false"], ids=["penalties", "no penalties"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    # In memory: two transfers are compared, and a disk has moods of its own.
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="sftpd-siege-", dir=memory if memory.is_dir() else None))
    try:
        made = Daemon(folder / "instance")
        # Floods come from networks of their own, as they do in the world. With penalties, as installed, most
        # attackers are sent away after a few tries; what the server itself bears is seen where nobody is.
        made.configure("server", "penalty_exempt = []", f"penalties = {request.param}")
        made.add_account(ATTACKER, 'keys = ["file:keys/demo_partner_ed25519.pub"]')
        with (made.desk / "local").open("wb") as file:
            for _ in range(SIZE // MIB):
                file.write(os.urandom(MIB))
        with made as running:
            yield running
    finally:
        shutil.rmtree(folder)


def seconds(daemon: Daemon, transfer: str) -> float:
    began = time.monotonic()
    daemon.sftp_done(transfer)
    return time.monotonic() - began


class Memory:
    """What the daemon takes while it is watched, and how many sessions there are then."""

    def __init__(self) -> None:
        self.most, self.sessions = 0, 0

    @contextmanager
    def watched(self, daemon: Daemon) -> Iterator[None]:
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                self.sessions = max(self.sessions, len(daemon.sessions))
                self.most = max(self.most, pss(daemon))
                over.wait(0.5)

        thread = threading.Thread(target=watch, name="memory")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@pytest.mark.soak
@pytest.mark.parametrize("name", ATTACKS)
def test_an_honest_client_keeps_half_its_speed(daemon: Daemon, name: str) -> None:
    eventually(lambda: not daemon.sessions, daemon)
    idle, memory = pss(daemon), Memory()
    alone, beside = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for _ in range(ROUNDS):
        for transfer in TRANSFERS:
            alone[transfer].append(seconds(daemon, transfer))
        with besieged(daemon, ATTACKS[name]):
            for transfer in TRANSFERS:
                beside[transfer].append(seconds(daemon, transfer))
        eventually(lambda: not daemon.sessions, daemon)
    # Looking at the memory of a hundred processes takes time of its own, so nothing is timed meanwhile.
    with besieged(daemon, ATTACKS[name]), memory.watched(daemon):
        daemon.sftp_done(*TRANSFERS)
    assert filecmp.cmp(daemon.desk / "local", daemon.desk / "back", shallow=False)
    assert "Traceback" not in daemon.log
    kept = {transfer: min(alone[transfer]) / min(beside[transfer]) for transfer in TRANSFERS}
    print(f"{name}: {kept}, {memory.most // MIB} MiB in {memory.sessions} sessions, {idle // MIB} idle")
    assert memory.most < idle + memory.sessions * A_SESSION + 2 * AT_WORK
    assert min(kept.values()) >= 0.5, (alone, beside)
