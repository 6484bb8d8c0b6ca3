"""Deletion requests and holds on a person, while the disk with the files is not mounted."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Daemon, eventually

PERSON = ("--identifier", "email=jan@example.org")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "instance") as running:
        running.file("people", b"name,email\nJan,jan@example.org\nAnna,anna@example.org\n")
        running.sftp_done("put people /upload/people.csv")
        yield running


def told(daemon: Daemon, *words: str):
    done = daemon.cli(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unmount(daemon: Daemon) -> None:
    """Have the folder of all links replaced by an empty one, as where its disk is not mounted."""
    daemon.stop()
    daemon.link.parent.rename(daemon.root / "disk")
    daemon.link.parent.mkdir()
    daemon.start()


def mount(daemon: Daemon) -> None:
    daemon.stop()
    shutil.rmtree(daemon.link.parent)
    (daemon.root / "disk").rename(daemon.link.parent)
    daemon.start()


def test_nothing_is_certified_of_files_that_are_not_there_to_be_searched(daemon: Daemon) -> None:
    request = told(daemon, "erasure", "open", "--link", "demo", *PERSON)["id"]
    unmount(daemon)
    refused = daemon.cli("erasure", "find", request)
    assert (refused.returncode, "is another directory than files were put in" in refused.stderr) == (1, True)
    assert "inbound" in refused.stderr
    mount(daemon)
    told(daemon, "erasure", "find", request)
    told(daemon, "erasure", "approve", request, "--by", "Ina")
    unmount(daemon)
    assert daemon.cli("erasure", "run", request).returncode == 1
    assert told(daemon, "erasure", "show", request)["certificate"] is None
    mount(daemon)
    eventually(lambda: told(daemon, "erasure", "show", request)["state"] == "closed", daemon)
    assert (daemon.inbound / "people.csv").read_bytes() == b"name,email\nAnna,anna@example.org\n"


def test_a_hold_on_a_person_covers_everything_until_its_files_can_be_searched(daemon: Daemon) -> None:
    unmount(daemon)
    daemon.cli("hold", "add", "--link", "demo", *PERSON, "--reason", "Case 7")
    mount(daemon)
    eventually(lambda: "Case 7" in daemon.cli("hold", "list").stdout, daemon)
    assert "permission denied" in daemon.sftp_batch("rm /upload/people.csv").stderr.lower()


def test_a_folder_that_was_moved_to_another_disk_is_searched(daemon: Daemon) -> None:
    request = told(daemon, "erasure", "open", "--link", "demo", *PERSON)["id"]
    unmount(daemon)
    for path in (daemon.root / "disk/demo/inbound").iterdir():
        (daemon.inbound / path.name).write_bytes(path.read_bytes())
    found = told(daemon, "erasure", "find", request)
    assert found["items"], found


def test_files_that_were_taken_away_keep_no_request_waiting_once_a_folder_is_confirmed(
    daemon: Daemon,
) -> None:
    request = told(daemon, "erasure", "open", "--link", "demo", *PERSON)["id"]
    unmount(daemon)
    assert daemon.cli("erasure", "find", request).returncode == 1
    why = ("--reason", "A new disk", "--by", "Ina")
    assert daemon.cli("retention", "unfreeze", "--link", "demo", *why).returncode == 0
    assert daemon.cli("erasure", "find", request).returncode == 0
