"""What a forked child does not share any more."""

import ctypes
import subprocess
import sys

import pytest

CHILD = """
import os, re, sys
import sftpd.ssh.session_host
from sftpd.process import sharing

if sys.argv[1] == "frozen":
    sharing.freeze()
names = [f"attribute_{number}" for number in range(9000)]
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    for name in names:
        getattr(object, name, None)
    private = re.search(r"^Private_Dirty: +([0-9]+)", open("/proc/self/smaps_rollup").read(), re.MULTILINE)[1]
    os.write(write, private.encode())
    os._exit(0)
os.waitpid(pid, 0)
print(os.read(read, 100).decode())
"""


def private_memory(state: str) -> int:
    """KiB that a child has for itself after it has looked up other names."""
    ran = subprocess.run([sys.executable, "-c", CHILD, state], capture_output=True, text=True, check=True)
    return int(ran.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is shared")
def test_a_child_of_what_is_frozen_shares_more_of_it() -> None:
    assert private_memory("frozen") + 300 < private_memory("as it is")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc tells of its heap")
def test_a_child_finds_no_hole_to_allocate_in() -> None:
    script = (
        "import sftpd.ssh.session_host; from sftpd.process import sharing;"
        "print(sharing.holes()); sharing.freeze(); print(sharing.holes())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(int, ran.stdout.split())
    assert after < before / 10
