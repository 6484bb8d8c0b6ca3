import contextlib
import errno
import gc
import os
import signal
import stat
import sys
import threading
import time
from subprocess import Popen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mounts import sshfs

from sftpd.errors import ContainmentError
from sftpd.files.beneath import Root

SECRET = b"outside"
LATIN = b"r\xe9sum\xe9.csv"


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(SECRET)
    return folder


@pytest.fixture
def inside(tmp_path, outside):
    folder = tmp_path / "inside"
    (folder / "dir").mkdir(parents=True)
    (folder / "dir/file").write_bytes(b"inside")
    return folder


@pytest.fixture
def root(inside):
    with Root.at(inside) as opened:
        yield opened


def read(root, *parts):
    fd = root.open(parts, os.O_RDONLY)
    try:
        return os.read(fd, 1000)
    finally:
        os.close(fd)


def create(root, *parts, data=b"new"):
    fd = root.open(parts, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def names(root, *parts):
    with root.scan(parts) as listing:
        return sorted(entry.name for entry in listing)


@pytest.fixture(
    params=["dotdot", "deep dotdot", "absolute link", "relative link", "linked folder", "magic link", "slash"]
)
def escape(request, inside, outside):
    """A path that leads to the secret outside."""
    (inside / "absolute").symlink_to(outside / "secret")
    (inside / "dir/relative").symlink_to("../../outside/secret")
    (inside / "folder").symlink_to("../outside")
    (inside / "magic").symlink_to(f"/proc/{os.getpid()}/root{outside}/secret")
    return {
        "dotdot": (b"..", b"outside", b"secret"),
        "deep dotdot": (b"dir", b"..", b"..", b"outside", b"secret"),
        "absolute link": (b"absolute",),
        "relative link": (b"dir", b"relative"),
        "linked folder": (b"folder", b"secret"),
        "magic link": (b"magic",),
        "slash": (b"", b"..", b"outside/secret"),
    }[request.param]


READING = {
    "open": lambda root, parts: root.open(parts, os.O_RDONLY),
    "open to write": lambda root, parts: root.open(parts, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    "stat": lambda root, parts: root.stat(parts),
    "statvfs": lambda root, parts: root.statvfs(parts),
    "chmod": lambda root, parts: root.chmod(parts, 0o777),
    "utime": lambda root, parts: root.utime(parts, (0, 0)),
    "truncate": lambda root, parts: root.truncate(parts, 0),
    "scan": lambda root, parts: root.scan((*parts[:-1], b"..", b"..", b"..")),
    "sub": lambda root, parts: root.sub((*parts[:-1], b"..", b"..", b"..")),
}
CHANGING = {
    "mkdir": lambda root, parts: root.mkdir(parts),
    "make_parents": lambda root, parts: root.make_parents((*parts, b"x")),
    "unlink": lambda root, parts: root.unlink(parts),
    "rmdir": lambda root, parts: root.rmdir(parts),
    "rename away": lambda root, parts: root.rename(parts, root, (b"taken",), replace=True),
    "rename onto": lambda root, parts: root.rename((b"dir", b"file"), root, parts, replace=True),
    "link away": lambda root, parts: root.link(parts, root, (b"taken",)),
    "link onto": lambda root, parts: root.link((b"dir", b"file"), root, parts),
    "symlink": lambda root, parts: root.symlink(b"x", parts),
    "readlink": lambda root, parts: root.readlink(parts),
}


@pytest.mark.parametrize("action", READING.values(), ids=READING.keys())
def test_no_path_that_leaves_is_followed(root, escape, action, outside):
    before = (outside / "secret").stat()
    with pytest.raises(ContainmentError) as refused:
        action(root, escape)
    assert refused.value.__cause__.errno in (errno.EXDEV, errno.ELOOP)
    assert (outside / "secret").stat() == before


@pytest.mark.parametrize("action", CHANGING.values(), ids=CHANGING.keys())
@pytest.mark.parametrize(
    "parent", [(b"..", b"outside"), (b"folder",), (b"dir", b"..", b"..", b"outside")], ids=repr
)
def test_no_change_is_made_outside(root, inside, outside, action, parent):
    (inside / "folder").symlink_to("../outside")
    with pytest.raises(ContainmentError):
        action(root, (*parent, b"secret"))
    assert os.listdir(outside) == ["secret"]
    assert (outside / "secret").read_bytes() == SECRET


@pytest.mark.parametrize("name", [b"..", b".", b"", b"../outside/secret"])
@pytest.mark.parametrize("action", CHANGING.values(), ids=CHANGING.keys())
def test_what_is_changed_is_named_by_one_component(root, action, name):
    with pytest.raises((ContainmentError, FileExistsError, FileNotFoundError)):
        action(root, (name,))


def test_links_that_stay_inside_are_followed(root, inside):
    (inside / "link").symlink_to("dir/file")
    (inside / "dir/back").symlink_to("../dir/file")
    assert read(root, b"link") == read(root, b"dir", b"back") == b"inside"
    assert stat.S_ISLNK(root.stat((b"link",), follow=False).st_mode)
    assert root.readlink((b"link",)) == b"dir/file"


def test_a_loop_of_links_is_refused(root, inside):
    (inside / "loop").symlink_to("loop")
    with pytest.raises(ContainmentError, match="link"):
        root.stat((b"loop",))


def test_kernel_errors_come_through_as_they_are(root):
    with pytest.raises(FileNotFoundError):
        root.stat((b"missing",))
    with pytest.raises(NotADirectoryError):
        root.stat((b"dir", b"file", b"x"))
    with pytest.raises(IsADirectoryError):
        root.open((b"dir",), os.O_RDONLY)
    with pytest.raises(FileExistsError):
        root.mkdir((b"dir",))
    with pytest.raises(OSError, match="busy"):
        root.rmdir(())


def test_a_fifo_is_not_waited_for(root, inside):
    os.mkfifo(inside / "fifo")
    for flags in (os.O_RDONLY, os.O_WRONLY):
        with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
            root.open((b"fifo",), flags)


def test_the_tree_can_be_worked_in(root, inside):
    assert root.make_parents((b"a", b"b", b"file")) == ((b"a",), (b"a", b"b"))
    assert root.make_parents((b"a", b"b", b"file")) == ()
    create(root, b"a", b"b", b"file", data=b"12345")
    root.truncate((b"a", b"b", b"file"), 3)
    assert read(root, b"a", b"b", b"file") == b"123"
    root.chmod((b"a", b"b", b"file"), 0o200)
    root.utime((b"a", b"b", b"file"), (10**9, 2 * 10**9))
    attributes = root.stat((b"a", b"b", b"file"))
    assert (stat.S_IMODE(attributes.st_mode), attributes.st_mtime_ns) == (0o200, 2 * 10**9)
    root.link((b"a", b"b", b"file"), root, (b"a", b"second"))
    root.symlink(b"/anywhere", (b"a", b"link"))
    root.utime((b"a", b"link"), (0, 10**9), follow=False)
    assert names(root, b"a") == [b"b", b"link", b"second"]
    root.unlink((b"a", b"link"))
    root.unlink((b"a", b"second"))
    root.unlink((b"a", b"b", b"file"))
    root.rmdir((b"a", b"b"))
    assert not root.exists((b"a", b"b"))
    assert root.statvfs((b"a",)).f_bsize > 0


def test_a_listing_tells_links_from_files_and_leaves_out_what_vanished(root, inside):
    (inside / "link").symlink_to("dir/file")
    with root.scan() as listing:
        (inside / "link").unlink()
        assert [entry.name for entry in listing] == [b"dir"]
    assert list(listing) == []


def test_renaming_without_replacing_leaves_both_as_they_are(root, inside):
    create(root, b"new", data=b"newer")
    for _ in range(2):
        with pytest.raises(FileExistsError):
            root.rename((b"new",), root, (b"dir", b"file"), replace=False)
    assert (read(root, b"new"), read(root, b"dir", b"file")) == (b"newer", b"inside")
    root.rename((b"new",), root, (b"dir", b"file"), replace=True)
    assert read(root, b"dir", b"file") == b"newer"
    root.rename((b"dir", b"file"), root, (b"free",), replace=False)
    assert names(root, b"dir") == []


def test_renaming_without_replacing_works_on_file_systems_that_lack_it(tmp_path, inside):
    mount = tmp_path / "mount"
    mount.mkdir()
    with sshfs(inside, mount), Root.at(mount) as root:
        create(root, b"new", data=b"newer")
        with pytest.raises(FileExistsError):
            root.rename((b"new",), root, (b"dir", b"file"), replace=False)
        assert (read(root, b"new"), read(root, b"dir", b"file")) == (b"newer", b"inside")
        root.rename((b"new",), root, (b"dir", b"free"), replace=False)
        assert (names(root), read(root, b"dir", b"free")) == ([b"dir"], b"newer")
        with pytest.raises(OSError, match="Invalid argument"):
            root.rename((b"dir",), root, (b"other",), replace=False)
        assert names(root) == [b"dir"]


def test_a_sub_root_does_not_lead_to_its_parent(root):
    with root.sub((b"dir",)) as sub:
        assert read(sub, b"file") == b"inside"
        with pytest.raises(ContainmentError):
            sub.stat((b"..", b"dir", b"file"))


def test_names_that_are_not_utf_8_are_kept(root):
    create(root, LATIN)
    assert LATIN in names(root)
    root.rename((LATIN,), root, (b"dir", LATIN), replace=False)
    assert read(root, b"dir", LATIN) == b"new"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=255).filter(lambda n: n not in (b".", b"..") and not {0, 47} & set(n)))
def test_any_name_can_be_created_listed_and_removed(root, name):
    directory = b"names"
    root.make_parents((directory, name))
    create(root, directory, name)
    assert names(root, directory) == [name]
    root.unlink((directory, name))


SWAP = """
import ctypes, os, sys
os.chdir(sys.argv[1])
exchange = lambda: ctypes.CDLL(None).renameat2(-100, b"dir", -100, b"trap", 2)
while True:
    for _ in range(1000):
        exchange()
"""


@pytest.mark.parametrize(
    ("tries", "seconds"), [(20_000, 3), pytest.param(1_000_000, None, marks=pytest.mark.soak)]
)
def test_a_racing_attacker_never_gets_us_outside(root, inside, outside, tries, seconds):
    """While a folder and a link to the outside keep changing places, nothing outside is read or made."""
    (outside / "file").write_bytes(SECRET)
    (inside / "trap").symlink_to(outside)
    attacker = Popen([sys.executable, "-c", SWAP, str(inside)])
    refused = read_inside = 0
    end = time.monotonic() + (seconds or float("inf"))
    try:
        for number in range(tries):
            try:
                assert read(root, b"dir", b"file") == b"inside"
                read_inside += 1
                create(root, b"dir", b"made%d" % number)
                root.rename((b"dir", b"made%d" % number), root, (b"dir", b"moved"), replace=True)
                root.chmod((b"dir", b"moved"), 0o600)
            except (ContainmentError, FileNotFoundError):
                refused += 1
            if time.monotonic() > end and refused and read_inside:
                break
    finally:
        attacker.send_signal(signal.SIGKILL)
        attacker.wait()
    assert refused, "the attack never hit"
    assert read_inside
    assert sorted(os.listdir(outside)) == ["file", "secret"]


def test_a_root_can_stand_for_another_folder_from_one_moment_to_the_next(root, inside, tmp_path):
    """Whoever uses it meanwhile sees the old folder or the new one, and never anything else."""
    root.sync()
    number, before = root.fileno(), len(os.listdir("/proc/self/fd"))
    folders = [tmp_path / f"other-{n}" for n in range(2)]
    for folder in folders:
        folder.mkdir()
        (folder / "file").touch()
    done = threading.Event()
    seen = set()

    def use():
        while not done.is_set():
            seen.add(root.stat((b"file",), follow=False).st_ino)
            root.sync()

    root.reopen(folders[0])
    user = threading.Thread(target=use)
    user.start()
    for n in range(2000):
        root.reopen(folders[n % 2])
    done.set()
    user.join()
    assert seen <= {(folder / "file").stat().st_ino for folder in folders}
    assert len(seen) > 0
    assert (root.fileno(), len(os.listdir("/proc/self/fd"))) == (number, before)
    (folders[1] / "later").touch()
    assert names(root) == [b"file", b"later"]
    with pytest.raises(FileNotFoundError):
        root.reopen(inside / "absent")
    assert names(root) == [b"file", b"later"]


def test_what_is_not_there_leaves_nothing_for_the_collector(root):
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with contextlib.suppress(FileNotFoundError):
                root.open((b"dir", b"nothing"), os.O_RDONLY)
        assert gc.collect() == 0
    finally:
        gc.enable()
