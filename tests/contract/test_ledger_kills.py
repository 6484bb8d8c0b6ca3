"""kill -9 of a process that writes to the ledger: what it was told has happened is there."""

import json
import multiprocessing
import os
import random
import threading

import sqlalchemy as sa
from exchange_scene import open_ledger

from sftpd.clock import SystemClock
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event

KILLS = 8
THREADS = 4


def write_until_killed(path, told, first):
    ledger = open_ledger(path, SystemClock())

    def work(thread):
        for number in range(1_000_000):
            job = f"{first}-{thread}-{number}"
            ledger.write(lambda unit, job=job: note(unit, job))
            os.write(told, job.encode() + b"\n")

    for thread in range(THREADS):
        threading.Thread(target=work, args=(thread,)).start()


def note(unit, job):
    unit.conn.execute(tables.tick.insert().values(job=job, last=unit.now))
    unit.record(Event("test.noted", public={"job": job}))


def test_what_was_acknowledged_survives_and_rows_and_events_come_together(tmp_path):
    path = tmp_path / "ledger.db"
    told = b""
    rng = random.Random(20260701)
    for kill in range(KILLS):
        source, sink = os.pipe()
        writer = multiprocessing.get_context("fork").Process(
            target=write_until_killed, args=(path, sink, kill)
        )
        writer.start()
        os.close(sink)
        wanted = len(told) + rng.randrange(1, 1500)
        with os.fdopen(source, "rb", buffering=0) as heard:
            while len(told) < wanted:
                told += heard.read(64)
            writer.kill()
            told += heard.read()
        writer.join()
        writer.close()
    ledger = open_ledger(path, SystemClock())
    with ledger.read() as conn:
        rows = set(conn.scalars(sa.select(tables.tick.c.job)))
        leaves = list(conn.scalars(sa.select(tables.outbox.c.leaf)))
    ledger.close()
    events = [json.loads(leaf)["data"]["job"] for leaf in leaves]
    assert set(told.decode().split("\n")[:-1]) <= rows
    assert sorted(events) == sorted(rows)
    assert len(rows) > KILLS
