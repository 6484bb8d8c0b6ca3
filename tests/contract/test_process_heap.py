"""A process that says so gives large blocks back, whatever lies between them, and has few arenas."""

import ctypes
import subprocess
import sys

import pytest

HEAD = """
import ctypes, sys, threading
from sftpd.process import heap

if sys.argv[1] == "compact":
    heap.keep_compact()
"""
LARGE = """

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


ARENAS = """
libc = ctypes.CDLL(None)
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


@pytest.mark.parametrize(("how", "arenas"), [("as it is", range(3, 99)), ("compact", range(1, 3))])
def test_many_threads_share_few_arenas(how: str, arenas: range) -> None:
    assert _said(ARENAS, how).count("<heap nr=") in arenas
