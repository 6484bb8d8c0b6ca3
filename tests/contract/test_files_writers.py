"""Asked of the kernel: who has a file open for writing, and that asking does not disturb them."""

import mmap
import os
import subprocess
import sys
import threading

import pytest

from sftpd.files.writers import is_open_for_writing

WRITER = """
import os, sys
path, enough, opened = sys.argv[1], sys.argv[2], 0
print("ready", flush=True)
while not os.path.exists(enough):
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
    opened += 1
print(opened)
"""


IN_BETWEEN = """
import fcntl, os, sys
from sftpd.files import writers
path = os.fsencode(sys.argv[1])

class Libc:
    def fcntl(self, fd, command, argument, real=writers._libc.fcntl):
        result = real(fd, command, argument)
        if (command, argument) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
            try:
                os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except BlockingIOError:
                print("told to wait")
        return result

writers._libc = Libc()
print(writers.is_open_for_writing(path))
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "report.csv"
    path.write_bytes(b"a;b\n")
    return path


def is_open(path):
    return is_open_for_writing(os.fsencode(path))


def test_a_writer_shows_until_it_closes_the_file(file):
    assert is_open(file) is False
    with file.open("ab"):
        assert is_open(file) is True
    assert is_open(file) is False


def test_so_does_one_in_another_process(file):
    writer = subprocess.Popen(["sh", "-c", "exec 3>>$0; echo; read end", file], stdin=-1, stdout=-1)
    with writer:
        writer.stdout.readline()
        assert is_open(file) is True
        writer.communicate(b"\n")
    assert is_open(file) is False


def test_and_one_that_has_only_mapped_it(file):
    with file.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
    assert is_open(file) is True
    mapped.close()
    assert is_open(file) is False


def test_a_reader_is_no_writer(file):
    with file.open("rb"):
        assert is_open(file) is False


def test_of_what_is_no_file_nothing_is_said(file, tmp_path):
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent", "link", "pipe"):
        assert is_open(tmp_path / name) is None


def test_asking_neither_refuses_nor_kills_a_writer_nor_us(file, tmp_path):
    """A file is opened for writing all the time while it is asked about 3,000 times, and that never fails."""
    enough = tmp_path / "enough"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, file, enough], stdout=subprocess.PIPE)
    with writer:
        writer.stdout.readline()
        answers = {is_open(file) for _ in range(3000)}
        enough.touch()
        opened = int(writer.stdout.readline())
    assert writer.returncode == 0
    assert opened > 100
    assert answers <= {True, False}


def test_a_writer_that_comes_in_that_very_moment_is_told_to_wait_and_does_not_kill_us(file):
    done = subprocess.run(
        [sys.executable, "-c", IN_BETWEEN, file], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "told to wait\nFalse\n"), done.stderr


def test_asking_leaves_no_lease_behind(file):
    for _ in range(3):
        is_open(file)
    assert _leases(file) == []
    threads = [threading.Thread(target=is_open, args=(file,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _leases(file) == []


def _leases(path):
    inode = str(path.stat().st_ino)
    with open("/proc/locks") as locks:
        return [line for line in locks if "LEASE" in line and line.split()[-3].endswith(":" + inode)]
