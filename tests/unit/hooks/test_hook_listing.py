import os
import time

import pytest

from sftpd.errors import HookError
from sftpd.hooks.listing import Listings, faults, list_all, list_event
from sftpd.hooks.spec import EVENTS

GATE = EVENTS["pre-receive"]


@pytest.fixture
def gate_folder(tmp_path):
    folder = tmp_path / GATE.directory
    folder.mkdir()
    return folder


def add(folder, name, mode=0o755):
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_an_absent_event_means_no_hooks_and_an_absent_directory_is_a_fault(tmp_path):
    assert list_event(tmp_path, GATE) == []
    assert faults(tmp_path) == []
    with pytest.raises(HookError, match=r"absent: no folder of hooks is there; .*instance\.hooks"):
        list_event(tmp_path / "absent", GATE)
    (fault,) = faults(tmp_path / "absent")
    assert fault.startswith(f"{tmp_path / 'absent'}: no folder")


def test_hooks_come_in_the_order_of_their_names(tmp_path, gate_folder):
    for name in ("20-b", "10-a", "9-c"):
        add(gate_folder, name)
    assert [hook.path.name for hook in list_all(tmp_path)] == ["10-a", "20-b", "9-c"]


@pytest.mark.parametrize("name", ["10-a~", ".10-a", "README", "README.md"])
def test_backups_dotfiles_and_readmes_stand_for_nothing(tmp_path, gate_folder, name):
    add(gate_folder, name, 0o644)
    assert list_all(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "mode", "fault"),
    [
        ("10-scan", 0o644, "not executable"),
        ("10-scan", 0o757, "every user"),
        ("10 scan", 0o755, "characters other than"),
        ("10-scan.bak", 0o755, "characters other than"),
    ],
)
def test_a_file_that_cannot_run_says_why(tmp_path, gate_folder, name, mode, fault):
    add(gate_folder, name, mode)
    (hook,) = list_event(tmp_path, GATE)
    assert not hook.usable
    assert fault in hook.fault


def test_a_dangling_link_and_a_directory_are_no_hooks(tmp_path, gate_folder):
    os.symlink("nowhere", gate_folder / "10-link")
    (gate_folder / "20-folder").mkdir()
    assert [hook.usable for hook in list_event(tmp_path, GATE)] == [False, False]


def test_a_misspelt_event_is_a_fault(tmp_path):
    (tmp_path / "pre-recieve.d").mkdir()
    (fault,) = faults(tmp_path)
    assert "pre-recieve.d: belongs to no event" in fault


def test_a_gate_directory_that_is_a_file_is_a_fault(tmp_path):
    (tmp_path / GATE.directory).write_text("")
    (fault,) = faults(tmp_path)
    assert "cannot be read" in fault


def test_every_fault_is_named_at_once(tmp_path, gate_folder):
    add(gate_folder, "10-a", 0o644)
    add(gate_folder, "20-b", 0o644)
    assert [fault.partition(":")[0] for fault in faults(tmp_path)] == [
        str(gate_folder / "10-a"),
        str(gate_folder / "20-b"),
    ]


@pytest.mark.parametrize("wait", [0.0, 0.1], ids=["at once", "once it is settled"])
def test_listings_that_are_kept_show_every_change_at_once(tmp_path, wait):
    event, directory = EVENTS["pre-receive"], tmp_path / "hooks"
    home = directory / event.directory
    directory.mkdir()
    listings = Listings(directory)

    def names():
        seen = listings.of(event)
        time.sleep(wait)
        assert listings.of(event) == seen == list_event(directory, event)
        return [(hook.path.name, hook.usable) for hook in seen]

    assert names() == []
    home.mkdir()
    assert names() == []
    hook = add(home, "10-a")
    assert names() == [("10-a", True)]
    hook.chmod(0o644)
    assert names() == [("10-a", False)]
    hook.chmod(0o755)
    add(home, "20-b")
    assert names() == [("10-a", True), ("20-b", True)]
    hook.unlink()
    assert names() == [("20-b", True)]
    (home / "20-b").unlink()
    home.rmdir()
    assert names() == []
    directory.rename(tmp_path / "not mounted")
    with pytest.raises(HookError, match="no folder of hooks"):
        names()
    (tmp_path / "not mounted").rename(directory)
    assert names() == []
