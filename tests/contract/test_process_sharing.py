"""What a forked child does not share any more."""

import ctypes
import subprocess
import sys

import pytest

CHILD = """
import gc, os, re, sys
import sftpd.ssh.session_host
from sftpd.process import sharing

state, deed = sys.argv[1:]
if state == "frozen":
    sharing.freeze()
names = [f"attribute_{number}" for number in range(9000)]
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    if deed == "collect":
        gc.collect()
    else:
        for name in names:
            getattr(object, name, None)
    private = re.search(r"^Private_Dirty: +([0-9]+)", open("/proc/self/smaps_rollup").read(), re.MULTILINE)[1]
    os.write(write, private.encode())
    os._exit(0)
os.waitpid(pid, 0)
print(os.read(read, 100).decode())
"""


def private_memory(state: str, deed: str) -> int:
    """KiB that a child has for itself after it has collected what is unused, or looked up other names."""
    command = [sys.executable, "-c", CHILD, state, deed]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is shared")
@pytest.mark.parametrize("deed", ["collect", "look up"])
def test_a_child_of_what_is_frozen_shares_more_of_it(deed: str) -> None:
    if deed == "look up" and sys.version_info >= (3, 13):
        pytest.skip("the names of what is loaded are not counted there")
    assert private_memory("frozen", deed) + 300 < private_memory("as it is", deed)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc tells of its heap")
def test_a_child_finds_no_hole_to_allocate_in() -> None:
    script = (
        "import sftpd.ssh.session_host; from sftpd.process import sharing;"
        "print(sharing.holes()); sharing.freeze(); print(sharing.holes())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(int, ran.stdout.split())
    assert after < before / 10
