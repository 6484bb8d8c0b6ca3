"""A network namespace of the test's own, whose loopback can be cut and made lossy with nftables."""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """Let this thread, and every process that it starts, have a loopback of its own."""
    if os.geteuid() != 0 or shutil.which("nft", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("needs root and nft")
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _done(_libc.unshare(_CLONE_NEWNET))
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        _done(_libc.setns(before, _CLONE_NEWNET))
        os.close(before)


@contextlib.contextmanager
def without(port: int, *, percent: int = 100) -> Iterator[None]:
    """Drop so many of the packets to and from a TCP port."""
    chance = "" if percent == 100 else f"numgen random mod 100 < {percent} "
    rules = "\n".join(f"tcp {side} {port} {chance}drop" for side in ("dport", "sport"))
    _nft(f"table inet faults {{\nchain cut {{\ntype filter hook input priority 0;\n{rules}\n}}\n}}\n")
    try:
        yield
    finally:
        _nft("delete table inet faults")


def _nft(script: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)


def _done(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "no namespace")
