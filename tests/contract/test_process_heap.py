"""A process that says so gives large blocks back, whatever lies between them."""

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
from sftpd.process import heap

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

if sys.argv[1] == "apart":
    heap.keep_large_apart()
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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc has this heap")
@pytest.mark.parametrize(("how", "left"), [("as it is", range(36, 45)), ("apart", range(2))])
def test_large_blocks_leave_nothing_behind(how: str, left: range) -> None:
    told = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    assert int(told.stdout) in left
