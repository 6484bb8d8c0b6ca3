"""What the forked half of the zygote does: become one particular child, and never return."""

import contextlib
import ctypes
import gc
import importlib
import json
import mmap
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, cast

from sftpd.process import sandbox
from sftpd.process.control import CAUSE_LIMIT, FAILED_STATUS, Spawn

Entry = Callable[[socket.socket, bytes, tuple[int, ...]], None]
"""What a child runs. It gets its end of the channel, bare, to make a Channel with kinds of its own; its
arguments; its descriptors."""

PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_TRACEBACK_LIMIT = 8192
_FIRST_FREE = 3
_OBJECTS_A_COLLECTION = 5000
"""New objects after which garbage in cycles is looked for: a child makes little of it, and much else."""

DEFERRED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that the zygote blocks, so that one sent to a child in its first moment waits until it is born."""

_libc = ctypes.CDLL(None, use_errno=True)


def become(spawn: Spawn, fds: tuple[int, ...], cause: mmap.mmap, zygote: int) -> NoReturn:
    """Turn this fresh fork into the child: detached, sandboxed, running its entry until it ends."""
    status = FAILED_STATUS
    try:
        _detach(spawn.kind, fds, zygote)
        entry = _resolve(spawn.entry)
        if spawn.sandbox is not None:
            sandbox.apply(spawn.sandbox)
        entry(socket.socket(fileno=fds[0]), spawn.args, fds[1:])
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException as fault:
        _report(spawn, fault, cause)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _detach(kind: str, fds: tuple[int, ...], zygote: int) -> None:
    """Leave nothing of the zygote: its group, its signals, its descriptors. Die when it dies."""
    os.setpgid(0, 0)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != zygote:
        os._exit(FAILED_STATUS)
    _libc.prctl(_PR_SET_NAME, f"sftpd-{kind}".encode()[:15], 0, 0, 0)
    signal.set_wakeup_fd(-1)
    for number in (*DEFERRED, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DEFERRED)
    low = _FIRST_FREE
    for fd in sorted(fds):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
    gc.enable()
    gc.set_threshold(_OBJECTS_A_COLLECTION)


def _resolve(entry: str) -> Entry:
    module, _, function = entry.partition(":")
    return cast("Entry", getattr(importlib.import_module(module), function))


def _report(spawn: Spawn, fault: BaseException, cause: mmap.mmap) -> None:
    summary = "".join(traceback.format_exception_only(fault)).strip().encode("utf-8", "replace")
    cause[: min(len(summary), CAUSE_LIMIT)] = summary[:CAUSE_LIMIT]
    text = "".join(traceback.format_exception(fault))
    line = {
        "event": "child_failed",
        "level": "error",
        "kind": spawn.kind,
        "child": spawn.child,
        "pid": os.getpid(),
        "exception": text[-_TRACEBACK_LIMIT:],
    }
    os.write(sys.stderr.fileno(), json.dumps(line).encode() + b"\n")
