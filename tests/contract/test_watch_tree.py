import os
import stat

import pytest
from folders import quick_folder

from sftpd.exchange.waits import Reason
from sftpd.watch import tree as tree_module
from sftpd.watch.selection import Selection
from sftpd.watch.tree import Order, Tree

NAMES = [b"c", b"a", b"\xff", b"e", b"b", b"d", b"A"]


def tree_of(root, order=Order.NAME, **selection):
    return Tree(root, Selection(**selection), order)


def paths(tree, below=()):
    found = [each for each in tree.files(below) if each is not None]
    return [b"/".join(path) for path, sight in found if sight.lacks is None]


def lacking(tree):
    return {b"/".join(f[0]): f[1].lacks for f in tree.files() if f is not None and f[1].lacks is not None}


def drop(root, name, *, mtime=0):
    path = os.path.join(os.fsencode(root), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(name)
    os.utime(path, ns=(mtime, mtime))


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_the_files_of_a_folder_come_by_name_however_many_are_held_at_once(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(tree_module, "_BATCH", batch)
    for name in NAMES:
        drop(tmp_path, name)
    assert paths(tree_of(tmp_path)) == sorted(NAMES)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_or_by_the_time_of_their_last_change_and_then_by_name(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(tree_module, "_BATCH", batch)
    times = {name: -5 if name == b"e" else (number // 2) * 10**9 for number, name in enumerate(NAMES)}
    for name, mtime in times.items():
        drop(tmp_path, name, mtime=mtime)
    by_time = sorted(NAMES, key=lambda name: (max(0, times[name]), name))
    assert paths(tree_of(tmp_path, Order.TIME)) == by_time


def test_a_folder_is_read_in_portions_and_held_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(tree_module, "_TICK", 10)
    monkeypatch.setattr(tree_module, "_BATCH", 25)
    for number in range(100):
        drop(tmp_path, b"%03d" % number)
    longest = 0

    def cut(keys, cut=tree_module._cut):
        nonlocal longest
        longest = max(longest, len(keys))
        return cut(keys)

    monkeypatch.setattr(tree_module, "_cut", cut)
    found = list(tree_of(tmp_path).files())
    assert [f for f in found[:10] if f is not None] == []
    assert sum(f is not None for f in found) == 100
    assert longest <= 50


def test_subfolders_come_after_the_files_of_a_folder_in_order_and_only_if_wanted(tmp_path):
    for name in (b"z", b"b/2", b"b/1", b"a/c/d", b".hidden/x", b"a/.h/y"):
        drop(tmp_path, name)
    assert paths(tree_of(tmp_path)) == [b"z", b"a/c/d", b"b/1", b"b/2"]
    assert paths(tree_of(tmp_path), (b"b",)) == [b"b/1", b"b/2"]
    assert paths(tree_of(tmp_path, recursive=False)) == [b"z"]


def test_a_file_is_meant_only_beside_its_done_file(tmp_path):
    for name in (b"a", b"a.ok", b"b", b"c.ok", b"d/e", b"d/e.ok", b"f"):
        drop(tmp_path, name)
    (tmp_path / "f.ok").mkdir()
    tree = tree_of(tmp_path, done_file=".ok")
    assert paths(tree) == [b"a", b"d/e"]
    assert lacking(tree) == {
        b"b": Reason.NO_DONE_FILE,
        b"c.ok": Reason.NO_FILE,
        b"f": Reason.NO_DONE_FILE,
    }
    assert tree.sight((b"a.ok",)) is None


def test_a_done_file_in_another_letter_case_speaks_for_nothing_and_is_told_of_itself(tmp_path):
    for name in (b"a", b"a.OK"):
        drop(tmp_path, name)
    tree = tree_of(tmp_path, done_file=".ok")
    assert paths(tree) == []
    assert lacking(tree) == {b"a": Reason.NO_DONE_FILE, b"a.OK": Reason.NO_DONE_FILE}


def test_what_is_no_file_is_seen_as_that_and_a_folder_is_entered(tmp_path):
    drop(tmp_path, b"folder.csv/inner")
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "socket", 0o600 | stat.S_IFSOCK)
    (tmp_path / "link").symlink_to(tmp_path / "folder.csv/inner")
    (tmp_path / os.fsdecode(b"dangling-\xff")).symlink_to("nowhere")
    tree = tree_of(tmp_path)
    assert paths(tree) == [b"folder.csv/inner"]
    assert lacking(tree) == dict.fromkeys((b"dangling-\xff", b"fifo", b"link", b"socket"), Reason.NOT_A_FILE)


def test_a_file_whose_name_looks_unfinished_is_seen_as_that(tmp_path):
    for name in (b"a.csv.part", b"d/b~", b".c.part", b"e.csv", b"x.part"):
        drop(tmp_path, name)
    (tmp_path / "link.part").symlink_to("e.csv")
    (tmp_path / "folder.part").mkdir()
    drop(tmp_path, b"folder.part/f")
    tree = tree_of(tmp_path, exclude=("x*",))
    assert paths(tree) == [b"e.csv", b"folder.part/f"]
    assert lacking(tree) == dict.fromkeys((b"a.csv.part", b"d/b~"), Reason.UNFINISHED)
    assert tree.sight((b"link.part",)) is None


def test_no_time_that_a_file_has_is_too_late_to_be_put_in_order():
    """Some file systems, as tmpfs, know times that eight bytes of nanoseconds do not."""
    with quick_folder() as root:
        for name, year in ((b"c", 2100), (b"a", 3237), (b"b", 1960)):
            drop(root, name)
            os.utime(os.path.join(os.fsencode(root), name), ((year - 1970) * 31556952,) * 2)
        assert paths(tree_of(root, Order.TIME)) == [b"b", b"c", b"a"]


def test_a_sight_has_the_time_of_change_that_nobody_can_set(tmp_path):
    drop(tmp_path, b"a", mtime=10**9)
    sight = tree_of(tmp_path).sight((b"a",))
    assert sight.snapshot.mtime_ns == 10**9
    assert sight.changed == (tmp_path / "a").stat().st_ctime


def test_a_folder_that_cannot_be_listed_does_not_hide_the_others(tmp_path, monkeypatch):
    for name in (b"a/1", b"b/1", b"c/1"):
        drop(tmp_path, name)

    def scandir(path, scandir=os.scandir):
        if path.endswith(b"/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert paths(tree_of(tmp_path)) == [b"a/1", b"c/1"]
