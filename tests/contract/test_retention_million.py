"""A plan of a million files: how long it takes, and that it and its list stay within their memory."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from retention_scene import RECEIVED, Scene

from sftpd.ledger import tables
from sftpd.names import new_id

FILES = 1_000_000
MEBIBYTE = 1 << 20
PLAN = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from retention_scene import RULES, Scene
from sftpd.periods import Period
from sftpd.retention.desk import RetentionDesk
from sftpd.retention.rule import Term
from sftpd.retention.timekeeper import Timekeeper
scene = Scene(Path(sys.argv[2]))
rules = [replace(rule, term=Term(Period.parse("P1Y"))) for rule in RULES]
keeper = Timekeeper(scene.ledger, scene.clock)
desk = RetentionDesk(scene.ledger, rules, scene.roots, keeper, scene.clock)
began = time.process_time(), time.perf_counter()
plan = desk.plan()
took = time.process_time() - began[0], time.perf_counter() - began[1]
listed = sum(1 for _ in desk.items(at=plan.schedule))
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
told = {"steps": len(plan.steps), "cpu": took[0], "wall": took[1], "listed": listed, "peak": peak * 1024}
print(json.dumps(told))
"""


def rows():
    for number in range(FILES):
        received = RECEIVED + timedelta(seconds=number * 60)
        yield {
            "id": new_id(received),
            "link": "demo",
            "folder": "inbound",
            "path": b"orders-%d.csv" % number,
            "source": f"{number}:4096:{number}",
            "size": 4096,
            "sha256": "00" * 32,
            "received_at": received,
            "state": "present",
            "changed_at": received,
        }


@pytest.mark.soak
def test_a_plan_of_a_million_files_stays_within_its_memory(tmp_path):
    scene = Scene(tmp_path)
    scene.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), list(rows())))
    scene.ledger.close()
    child = [sys.executable, "-c", PLAN, str(Path(__file__).parent), str(tmp_path)]
    told = json.loads(subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True).stdout)
    print(told)
    assert 0 < told["steps"] < FILES
    assert told["listed"] == FILES
    assert told["peak"] <= 250 * MEBIBYTE
