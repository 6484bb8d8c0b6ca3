"""Deletion requests and holds on a person, while the disk with the files is not mounted."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Daemon, command, eventually
from mounts import ext4

PERSON = ("--identifier", "email=jan@example.org")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "instance") as running:
        running.file("people", b"name,email\nJan,jan@example.org\nAnna,anna@example.org\n")
        running.sftp_done("put people /upload/people.csv")
        yield running


VAULT = """
[[retention]]
name = "vault"
folder = "vault"
period = "P1Y"
mandate = "Agreement"

[vault]
key = "file:keys/demo.vault"
"""


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


@pytest.fixture
def reports(daemon: Daemon, tmp_path: Path) -> Path:
    """A folder beside the link's, which is searched too, with a copy that names the person."""
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "copy.csv").write_bytes(b"name,email\nJan,jan@example.org\n")
    daemon.configure_link("erasure", f'also_search = ["{folder}"]')
    daemon.reload()
    return folder


def away(folder: Path) -> Path:
    """Have a folder replaced by an empty one; returns where it is."""
    disk = folder.with_name(f"{folder.name}-disk")
    folder.rename(disk)
    folder.mkdir()
    return disk


def back(folder: Path, disk: Path) -> None:
    folder.rmdir()
    disk.rename(folder)


def test_a_folder_that_is_searched_too_and_is_not_mounted_is_not_taken_for_empty(
    daemon: Daemon, reports: Path
) -> None:
    request = told(daemon, "erasure", "open", "--link", "demo", *PERSON)["id"]
    disk = away(reports)
    refused = daemon.cli("erasure", "find", request)
    assert refused.returncode == 1
    assert f"{reports} is another directory than was found there before" in refused.stderr
    assert "mount its disk, or confirm the directory by `sftpd retention unfreeze`" in refused.stderr
    assert list(told(daemon, "status")["retention_frozen"]) == [f"demo {reports} FOLDER_REPLACED"]
    assert daemon.cli("retention", "plan").returncode == 0, "nothing else is frozen by it"
    back(reports, disk)
    found = told(daemon, "erasure", "find", request)
    assert str(reports) in {item["folder"] for item in found["items"]}
    assert not told(daemon, "status")["retention_frozen"]
    told(daemon, "erasure", "approve", request, "--by", "Ina")
    disk = away(reports)
    assert daemon.cli("erasure", "run", request).returncode == 1
    back(reports, disk)
    told(daemon, "erasure", "run", request)
    assert told(daemon, "erasure", "show", request)["state"] == "closed"
    told_of = daemon.events_of("retention.frozen", "retention.unfrozen")
    assert {event["data"]["folder"] for event in told_of} == {"beside"}
    removed = daemon.events_of("erasure.removed")
    assert {event["data"]["folder"] for event in removed} == {"beside", "inbound"}
    told_of += removed
    assert str(reports) not in json.dumps(told_of), "the partner may read this log"


def test_a_folder_that_is_searched_too_is_missed_when_it_is_gone_until_it_is_searched_no_more(
    daemon: Daemon, reports: Path
) -> None:
    request = told(daemon, "erasure", "open", "--link", "demo", *PERSON)["id"]
    reports.rename(reports.with_name("elsewhere"))
    refused = daemon.cli("erasure", "find", request)
    assert (refused.returncode, f"{reports} cannot be opened" in refused.stderr) == (1, True)
    assert "or take it out of the link's configuration" in refused.stderr
    daemon.configure_link("erasure", "also_search = []")
    daemon.reload()
    assert not told(daemon, "status")["retention_frozen"]
    assert told(daemon, "erasure", "find", request)["items"]


def test_another_folder_that_is_searched_too_is_confirmed(daemon: Daemon, reports: Path) -> None:
    request = told(daemon, "erasure", "open", "--link", "demo", *PERSON)["id"]
    away(reports)
    assert daemon.cli("erasure", "find", request).returncode == 1
    why = ("--reason", "A new disk", "--by", "Ina")
    assert daemon.cli("retention", "unfreeze", "--link", "demo", *why).returncode == 0
    assert told(daemon, "erasure", "find", request)["items"]
    assert not told(daemon, "status")["retention_frozen"]


def test_a_watched_folder_whose_disk_is_not_mounted_is_not_taken_for_empty(
    daemon: Daemon, tmp_path: Path
) -> None:
    # What waits there for its done-file is nobody's yet, but it is searched.
    daemon.configure_link("[route]", 'done_file = ".ok"')
    daemon.stop()
    disk = tmp_path / "disk"
    with ext4(disk, daemon.outbound):
        (daemon.outbound / "waits.csv").write_bytes(b"name,email\nJan,jan@example.org\n")
        daemon.start()
        request = told(daemon, "erasure", "open", "--link", "demo", *PERSON)["id"]
        found = told(daemon, "erasure", "find", request)
        assert "outbound" in {item["folder"] for item in found["items"]}
        daemon.stop()
    daemon.start()
    refused = daemon.cli("erasure", "find", request)
    assert (refused.returncode, f"no disk is mounted at {daemon.outbound}" in refused.stderr) == (1, True)
    assert "mount its disk, or confirm the directory by `sftpd retention unfreeze`" in refused.stderr
    daemon.stop()
    with ext4(disk, daemon.outbound):
        daemon.start()
        found = told(daemon, "erasure", "find", request)
        assert "outbound" in {item["folder"] for item in found["items"]}
        assert not told(daemon, "status")["retention_frozen"]
        daemon.stop()
    daemon.start()
    assert daemon.cli("erasure", "find", request).returncode == 1
    why = ("--reason", "It is on this disk now", "--by", "Ina")
    assert daemon.cli("retention", "unfreeze", "--link", "demo", *why).returncode == 0
    assert told(daemon, "erasure", "find", request)["items"]


def test_a_watched_folder_that_was_made_anew_is_searched(daemon: Daemon) -> None:
    request = told(daemon, "erasure", "open", "--link", "demo", *PERSON)["id"]
    shutil.rmtree(daemon.outbound)
    daemon.outbound.mkdir()
    assert told(daemon, "erasure", "find", request)["items"]


@pytest.mark.parametrize("what", ["copies", "keys"])
def test_copies_in_a_vault_that_is_not_mounted_stay(tmp_path: Path, what: str) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    daemon = Daemon(tmp_path / "instance")
    assert command("vault", "new-key", str(daemon.root / "keys/demo.vault")).returncode == 0
    head, _, _ = daemon.link_config.read_text().partition("[[retention]]")
    daemon.link_config.write_text(f'{head}{VAULT}keys = "{keys}"\n')
    with daemon:
        daemon.file("people", b"name,email\nJan,jan@example.org\n")
        daemon.sftp_done("put people /upload/people.csv")
        (copy,) = told(daemon, "vault", "list")
        request = told(daemon, "erasure", "open", "--link", "demo", *PERSON)["id"]
        daemon.stop()
        folder = keys if what == "keys" else daemon.link / ".sftpd/vault"
        disk = away(folder)
        daemon.start()
        refused = daemon.cli("erasure", "find", request)
        assert (refused.returncode, str(folder) in refused.stderr) == (1, True)
        daemon.stop()
        shutil.rmtree(folder)
        disk.rename(folder)
        daemon.start()
        read = tmp_path / "read"
        daemon.cli("vault", "get", copy["id"], "--output", str(read), "--reason", "see that it is there")
        assert b"jan@example.org" in read.read_bytes()
        assert "vault" in {item["folder"] for item in told(daemon, "erasure", "find", request)["items"]}
