"""kill -9 at random moments of a run over very many files: what was planned goes, once, and nothing else.

`make soak` does it over a million files, or over as many as `SFTPD_KILLED_FILES` says.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from retention_scene import Scene

from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.published import PublishedLog
from sftpd.audit.verify import verify_log
from sftpd.ledger import tables
from sftpd.retention import holds
from sftpd.retention.guard import Confirmation
from sftpd.retention.guards import Bounds
from sftpd.retention.holds import HoldRequest
from sftpd.retention.scope import OfQuery
from sftpd.retention.sweep import BATCH
from sftpd.service.sequencer import Sequencer

KEY = SigningKey("test", Ed25519PrivateKey.from_private_bytes(bytes(32)))
MANY = Bounds(unremarkable=10**9)
FOLDER = 1000
"""Files in a directory."""


def sequenced(scene):
    sequencer = Sequencer(scene.folder / "audit", instance="test", key=KEY, ledger=scene.ledger)
    sequencer.open(["demo", "system"])
    return sequencer


def run(folder):
    """What the process that is killed does: it goes on where an earlier one ended, and tells each intent."""
    scene = Scene(folder, bounds=MANY)
    sequencer = sequenced(scene)
    sequencer.start()
    scene.desk.recover()
    plan = scene.desk.plan()
    scene.ledger.on_event(lambda event: event.type == "retention.intended" and os.write(1, b"."))
    scene.desk.run(plan.hash, Confirmation(sum(plan.by_link("dispose").values()), "jan"))
    sequencer.stop()
    sequencer.close()
    scene.ledger.close()


def name_of(number):
    ending = {3: "keep", 7: "held"}.get(number % 20, "csv")
    return b"%d/%d.%s" % (number // FOLDER, number, ending.encode())


def filled(folder, files):
    """A scene whose files are to go, but for those that have long to wait, are held, or are not ours."""
    scene = Scene(folder, bounds=MANY)
    names = [name_of(number) for number in range(files)]
    for first in range(0, files, FOLDER):
        scene.receive(*names[first : first + FOLDER])
    strangers = [b"%d/stranger" % number for number in range(files // FOLDER)]
    for name in strangers:
        (scene.inbound / os.fsdecode(name)).write_bytes(name)
    holds.place(scene.ledger, HoldRequest("demo", OfQuery("inbound", "*.held"), "court case", "jan"))
    planned = {item.file.id for item in scene.steps()}
    scene.ledger.close()
    return {name for name in (*names, *strangers) if not name.endswith(b".csv")}, planned


def kill_amid(folder, pick, intents):
    """Let a run go on for so many intents and a moment, and kill it."""
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert len(child.stdout.read(intents)) == intents
        time.sleep(pick.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL


def killed(folder, files, kills):
    """Kill a run over so many files again and again, let the last one end, and look at what is left."""
    pick = random.Random(files)
    kept, planned = filled(folder, files)
    gone = []
    for _ in range(kills):
        kill_amid(folder, pick, pick.randrange(1, len(planned) // (2 * kills)))
        gone.append(len(planned) + len(kept) - count(folder))
    assert 0 < gone[-1] < len(planned)
    print(f"gone at each kill: {gone}")
    subprocess.run([sys.executable, __file__, str(folder)], stdout=subprocess.DEVNULL, check=True)
    scene = Scene(folder, bounds=MANY)
    try:
        assert scene.left() == kept
        assert all((scene.inbound / os.fsdecode(name)).read_bytes() == name for name in kept)
        look_at_the_ledger(scene, planned)
        look_at_the_log(folder, planned)
    finally:
        scene.ledger.close()


def count(folder):
    return sum(len(names) for _, _, names in os.walk(folder / "inbound"))


def look_at_the_ledger(scene, planned):
    file, disposal = tables.kept_file.c, tables.disposal.c
    with scene.ledger.read() as conn:
        assert set(conn.scalars(sa.select(file.id).where(file.state == "disposed"))) == planned
        assert {*conn.scalars(sa.select(file.state))} == {"disposed", "present"}
        done = Counter(conn.scalars(sa.select(disposal.file).where(disposal.done_at.is_not(None))))
        assert done == dict.fromkeys(planned, 1)
        assert conn.scalar(sa.select(sa.func.count()).where(disposal.done_at.is_(None))) == 0
        assert conn.scalar(sa.select(sa.func.count()).select_from(tables.outbox)) == 0


def look_at_the_log(folder, planned):
    """The log of the link verifies, and tells of each file once that it is to go, then that it is gone."""
    audit = folder / "audit/demo"
    size = verify_log(audit / "public", [KEY.verifier], origin="test/demo", journal=audit / "journal").size
    told = {"retention.intended": {}, "retention.done": {}}
    for index, leaf in enumerate(PublishedLog(audit / "public").leaves(0, size, size)):
        event = json.loads(leaf)
        if event["type"] in told:
            assert told[event["type"]].setdefault(event["data"]["file"], index) == index, "told of twice"
            if event["type"] == "retention.done":
                assert event["data"]["result"] in ("disposed", "gone")
    intended, done = told["retention.intended"], told["retention.done"]
    assert intended.keys() == done.keys() == planned
    assert all(intended[file] < done[file] for file in planned)


def test_kill_9_amid_a_run_loses_nothing_and_repeats_nothing(tmp_path):
    killed(tmp_path, 12 * BATCH, kills=2)


@pytest.mark.soak
def test_kill_9_ten_times_in_a_run_over_a_million_files(tmp_path):
    killed(tmp_path, int(os.environ.get("SFTPD_KILLED_FILES", "1000000")), kills=10)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
