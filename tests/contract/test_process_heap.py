"""A process that says so keeps its heap as large as what is in it."""

import ctypes
import subprocess
import sys

import pytest

HEAD = """
import ctypes, sys, threading
from sftpd.process import heap

if sys.argv[1] == "compact":
    heap.keep_compact()
MIB = 1 << 20
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024

def allocated(size):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    return block
"""
LARGE = """
libc.free(allocated(24 * MIB))
before = resident()
large = []
for _ in range(20):
    large.append(allocated(2 * MIB))
    allocated(1000)
for block in large:
    libc.free(block)
print((resident() - before) // MIB)
"""
HOLES = """
between = []
for _ in range(1000):
    between.append(allocated(20_000))
    allocated(5000)
before = resident()
for block in between:
    libc.free(block)
if sys.argv[1] == "compact":
    heap.give_back()
print((before - resident()) // MIB)
"""
ARENAS = """
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
all_run = threading.Barrier(12)
threads = [threading.Thread(target=all_run.wait) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stream = libc.fopen(b"/proc/self/fd/1", b"w")
libc.malloc_info(0, stream)
libc.fclose(stream)
"""

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc has this heap")


def _said(script: str, how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + script, how], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(("how", "left"), [("as it is", range(36, 45)), ("compact", range(2))])
def test_large_blocks_leave_nothing_behind(how: str, left: range) -> None:
    assert int(_said(LARGE, how)) in left


@pytest.mark.parametrize(("how", "back"), [("as it is", range(-1, 3)), ("compact", range(12, 20))])
def test_holes_are_given_back(how: str, back: range) -> None:
    assert int(_said(HOLES, how)) in back


@pytest.mark.parametrize(("how", "arenas"), [("as it is", range(3, 99)), ("compact", range(1, 3))])
def test_many_threads_share_few_arenas(how: str, arenas: range) -> None:
    assert _said(ARENAS, how).count("<heap nr=") in arenas
