import contextlib
import os
import subprocess
import sys

import pytest

from sftpd.errors import ContainmentError, RefusedError
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.files.staging import Staging

WRITE = os.O_WRONLY | os.O_CREAT


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "staging"
    path.mkdir()
    return path


@pytest.fixture
def staging(folder):
    with Root.at(folder) as root:
        yield Staging(root)


def put(staging, *parts, data=b"part"):
    part = staging.open_part(parts, WRITE)
    os.write(part.fd, data)
    part.close()


HOLD = """
import os, sys
from pathlib import Path
from sftpd.files.beneath import Root
from sftpd.files.staging import Staging
Staging(Root.at(Path(sys.argv[1]))).open_part((b"in", b"file"), os.O_WRONLY | os.O_CREAT)
print("held", flush=True)
sys.stdin.read()
"""


def test_two_processes_never_write_one_part(staging, folder):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout.readline() == "held\n"
        (folder / "in/file").write_bytes(b"theirs")
        with pytest.raises(RefusedError) as refused:
            staging.open_part((b"in", b"file"), WRITE | os.O_TRUNC)
        assert refused.value.reason == "PART_IN_USE"
        assert (folder / "in/file").read_bytes() == b"theirs"
        os.close(staging.read_part((b"in", b"file")))
        other.kill()
    put(staging, b"in", b"file", data=b"ours, ")
    assert (folder / "in/file").read_bytes() == b"ours, "


def test_a_part_is_truncated_only_when_asked(staging, folder):
    put(staging, b"file", data=b"12345")
    put(staging, b"file", data=b"ab")
    assert (folder / "file").read_bytes() == b"ab345"
    staging.open_part((b"file",), os.O_WRONLY | os.O_TRUNC).close()
    assert (folder / "file").read_bytes() == b""


def test_a_missing_part_is_not_made_unless_asked(staging, folder):
    with pytest.raises(FileNotFoundError):
        staging.open_part((b"in", b"file"), os.O_WRONLY)
    assert os.listdir(folder) == []
    put(staging, b"file")
    with pytest.raises(FileExistsError):
        staging.open_part((b"file",), WRITE | os.O_EXCL)


def test_a_part_stays_locked_when_nobody_can_write_it_any_more(staging):
    part = staging.open_part((b"file",), WRITE)
    os.close(part.fd)
    with pytest.raises(RefusedError) as refused:
        staging.open_part((b"file",), WRITE)
    assert refused.value.reason == "PART_IN_USE"
    os.close(part.lock)
    put(staging, b"file")


def test_a_part_renamed_before_it_was_locked_is_not_mistaken_for_its_successor(staging, folder, monkeypatch):
    """Between our open and our lock the name went to another file: we must hold that one."""
    put(staging, b"file", data=b"old")
    root_open, rename = staging.root.open, os.rename

    def late(parts, flags, mode):
        monkeypatch.undo()
        fd = root_open(parts, flags, mode)
        rename(folder / "file", folder / "published")
        return fd

    monkeypatch.setattr(staging.root, "open", late)
    put(staging, b"file", data=b"new")
    assert (folder / "published").read_bytes() == b"old"
    assert (folder / "file").read_bytes() == b"new"


def test_renaming_moves_a_part_and_prunes_what_it_leaves(staging, folder):
    put(staging, b"a", b"b", b"file.part")
    put(staging, b"c", b"other")
    staging.rename((b"a", b"b", b"file.part"), (b"c", b"file"), replace=False)
    assert sorted(parts for parts, _ in staging.root.walk()) == [(b"c", b"file"), (b"c", b"other")]
    assert os.listdir(folder) == ["c"]
    with pytest.raises(FileExistsError):
        staging.rename((b"c", b"file"), (b"c", b"other"), replace=False)


def test_removing_prunes_up_to_what_is_still_used(staging, folder):
    put(staging, b"a", b"b", b"c", b"file")
    put(staging, b"a", b"other")
    staging.remove((b"a", b"b", b"c", b"file"))
    assert os.listdir(folder / "a") == ["other"]


def test_parts_are_listed_and_described(staging):
    put(staging, b"a", b"one", data=b"1")
    put(staging, b"two", data=b"22")
    with staging.entries() as entries:
        assert sorted(entry.name for entry in entries) == [b"a", b"two"]
    assert {parts: stat.st_size for parts, stat in staging.root.walk()} == {(b"a", b"one"): 1, (b"two",): 2}
    assert staging.stat((b"two",)).st_size == 2


def test_walking_does_not_follow_links(staging, folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"x")
    (folder / "link").symlink_to("../outside")
    assert [parts for parts, _ in staging.root.walk()] == [(b"link",)]
    with pytest.raises(ContainmentError):
        put(staging, b"link", b"file")


def test_publishing_out_of_staging_leaves_no_folders_behind(staging, folder, tmp_path):
    put(staging, b"a", b"b", b"file")
    (tmp_path / "inbound").mkdir()
    with Root.at(tmp_path / "inbound") as inbound:
        durable.publish(staging.root, (b"a", b"b", b"file"), inbound, (b"a", b"b", b"file"))
    staging.prune((b"a", b"b", b"file"))
    assert (tmp_path / "inbound/a/b/file").read_bytes() == b"part"
    assert os.listdir(folder) == []


KIB = 1024


def put_with_hole(staging, name):
    part = staging.open_part((b"anna", name), WRITE)
    os.pwrite(part.fd, b"x" * (8 * KIB), 0)
    os.pwrite(part.fd, b"y", KIB * KIB)
    return part


def test_what_nobody_closed_ends_where_its_first_hole_begins(staging, folder):
    put(staging, b"anna", b"whole", data=b"x" * 10_000)
    put(staging, b"anna", b"empty", data=b"")
    put_with_hole(staging, b"cut").close()
    extended = staging.open_part((b"anna", b"extended"), WRITE)
    os.ftruncate(extended.fd, 20)
    extended.close()
    copy = staging.open_part((b"anna", b"copy"), WRITE, for_copy=True)
    os.ftruncate(copy.fd, 20)
    copy.close()
    in_use = put_with_hole(staging, b"in use")
    cuts = {cut.parts[1]: (cut.size, cut.before) for cut in staging.cut_at_holes()}
    in_use.close()
    assert cuts == {b"cut": (8 * KIB, KIB * KIB + 1), b"extended": (0, 20)}
    sizes = {path.name: path.stat().st_size for path in (folder / "anna").iterdir()}
    assert sizes == {
        "whole": 10_000, "empty": 0, "cut": 8 * KIB, "extended": 0, "copy": 20, "in use": KIB * KIB + 1,
    }  # fmt: skip
    assert (folder / "anna/cut").read_bytes() == b"x" * (8 * KIB)


def test_holes_last_in_what_was_closed_until_it_is_written_to(staging, folder):
    for name in (b"closed", b"written on"):
        part = put_with_hole(staging, name)
        part.keep_holes()
        part.close()
    assert list(staging.cut_at_holes()) == []
    with contextlib.closing(staging.open_part((b"anna", b"written on"), WRITE)) as part:
        part.write_on()
    assert [cut.parts[1] for cut in staging.cut_at_holes()] == [b"written on"]
    assert (folder / "anna/closed").stat().st_size == KIB * KIB + 1
    whole = staging.open_part((b"anna", b"whole"), WRITE)
    os.write(whole.fd, b"x")
    mode = os.fstat(whole.fd).st_mode
    whole.keep_holes()
    assert os.fstat(whole.fd).st_mode == mode
    whole.close()
