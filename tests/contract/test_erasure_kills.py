"""A run that is killed at random moments, over files of every format: the next finishes it, to the byte."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import erasure_scene
import person_corpus
import pytest
from erasure_scene import RECEIVED, Scene

from sftpd.erasure.request import State
from sftpd.process.pool import Children

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")


@pytest.mark.soak
def test_kill_9_at_a_hundred_random_moments_is_finished_by_the_next_run(tmp_path):
    beginning, whole = tmp_path / "beginning", tmp_path / "whole"
    beginning.mkdir()
    given = person_corpus.generate(20, seed=11, persons=20)
    with erasure_scene.scene(beginning) as scene:
        for name, node in given.files.items():
            scene.put(f"inbound/{name}", person_corpus.pack(node))
        request = approved(scene, given.identifiers)
    shutil.copytree(beginning, whole)
    began = time.monotonic()
    assert start(whole, request).wait() == 0
    length = time.monotonic() - began
    chance = random.Random(7)
    expected = files_in(whole)
    with Children.start(["sftpd.erasure.reader"]) as children:
        for moment in range(100):
            place = tmp_path / str(moment)
            shutil.copytree(beginning, place)
            running = start(place, request)
            time.sleep(chance.uniform(0, length))
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            scene = Scene(place, children)
            if scene.desk.show(request).state is not State.CLOSED:
                scene.desk.run(request)
            assert scene.desk.show(request).state is State.CLOSED
            scene.close()
            assert files_in(place) == expected
            # In the files themselves others have what hers is a part of.
            apart = [path for path in place.rglob("*") if path.is_file() and path.parent.name != "inbound"]
            assert [path.name for path in apart if tells(path, given.identifiers)] == []
            shutil.rmtree(place)


def approved(scene: Scene, identifiers: list[str]) -> str:
    request = scene.desk.open("demo", identifiers, RECEIVED, "opener")
    found = [item.seq for item in scene.desk.find(request) if item.is_undecided]
    scene.desk.reviewer.decide(request, found, remove=True, by="operator", reason=None)
    scene.desk.approve(request, "operator")
    return request


def start(place: Path, request: str) -> subprocess.Popen[bytes]:
    """Run the request in a process, with children of its own, that a signal to its group ends."""
    command = [sys.executable, erasure_scene.__file__, str(place), request, "-1"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def files_in(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "inbound").rglob("*") if path.is_file()}


def tells(path: Path, identifiers: list[str]) -> bool:
    """Whether a file has an identifier in it as it was given, in any of the encodings."""
    content = path.read_bytes().lower()
    values = [each.partition("=")[2].lower() for each in identifiers]
    return any(value.encode(encoding) in content for value in values for encoding in ENCODINGS)
