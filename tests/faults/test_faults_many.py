"""Very many files at once, past what the kernel queues of events, and many through a loop of kills."""

import random

import pytest
from faults_crossing import CROSSINGS
from faults_mounts import linger
from faults_reckoning import reckon
from namespaces import short_queue
from waiting import holds

QUEUED = 1024
MANY, FILES = 100_000, 10_000
BETWEEN_KILLS = 3.0
PATIENCE = 3600.0

pytestmark = pytest.mark.soak


def small_files(count):
    """Names and contents, each a few bytes that no other has."""
    chance = random.Random(count)
    return {
        f"{number % 100:02}/{number:06}.csv": b"%d;%d\n" % (number, chance.getrandbits(64))
        for number in range(count)
    }


@pytest.mark.parametrize("flow", ["download", "remote"])
def test_a_hundred_thousand_files_dropped_at_once_arrive_once(flow, tmp_path, tally):
    made = small_files(MANY)
    with short_queue(QUEUED), CROSSINGS[flow](tmp_path, 'after = "remove"') as crossing:
        if flow == "remote":
            crossing.kept = None
        crossing.daemon.start()
        crossing.put(made)
        assert holds(lambda: linger(1) or crossing.is_idle(), PATIENCE), crossing.daemon.log[-5000:]
        reckoning = reckon(crossing, sorted(made))
        tally.add(reckoning)
        assert reckoning.faults == []


@pytest.mark.parametrize("flow", ["remote", "download"])
def test_ten_thousand_files_cross_once_through_a_loop_of_kills(flow, tmp_path, tally):
    made = small_files(FILES)
    kills = 0
    with CROSSINGS[flow](tmp_path) as crossing:
        crossing.daemon.start()
        crossing.put(made)
        while not crossing.is_idle():
            linger(BETWEEN_KILLS)
            crossing.daemon.kill()
            crossing.daemon.start()
            kills += 1
        assert kills > 2
        reckoning = reckon(crossing, sorted(made))
        tally.add(reckoning)
        assert reckoning.faults == [], f"after {kills} kills"
