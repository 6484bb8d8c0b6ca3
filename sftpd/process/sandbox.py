"""What a child is left with: folders, ports, resources. It can be narrowed again and never widened."""

import ctypes
import os
import resource
import socket
import sys
import sysconfig
from pathlib import Path

import msgspec

from sftpd.errors import ProcessError
from sftpd.process import landlock, seccomp

_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


_INTERNET = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""The families of sockets that a connection takes: names are resolved with the last one's help."""

_LIBRARY_FOLDERS = ("site-packages", "dist-packages")


class Sandbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What remains allowed. Every path named must exist; those beneath it are included.

    `read` opens and lists; `execute` reads and runs; `write` reads, writes, creates, renames and removes.
    `connect_ports` None leaves sockets alone; otherwise TCP connects to these ports only and binds nowhere,
    or with `binds` to ports that the kernel chooses. Where there are no ports there are no sockets, and
    never Unix sockets; UDP is open where there are some, to ask for names. `memory` is bytes of data, `cpu`
    seconds; None sets no limit. Abstract Unix sockets and signals to processes outside are always denied.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    execute: tuple[str, ...] = ()
    connect_ports: tuple[int, ...] | None = ()
    binds: bool = False
    files: int | None = 256
    memory: int | None = None
    processes: int | None = None
    cpu: int | None = None
    core: int = 0


class Applied(msgspec.Struct, frozen=True):
    """What could be applied: without an ABI the kernel has no Landlock, and paths and ports stay open."""

    landlock_abi: int | None
    filters: bool = True
    """Whether system calls could be filtered."""

    @property
    def unprotected(self) -> str | None:
        """What the kernel leaves open, in one clause for the log; None when nothing."""
        if self.landlock_abi is None:
            return "paths, network and signals: this kernel has no Landlock"
        gaps = [what for since, what in _GAPS if self.landlock_abi < since]
        if gaps:
            return f"{', '.join(gaps)}: this kernel's Landlock is version {self.landlock_abi}"
        return None if self.filters else "Unix sockets and UDP: this kernel filters no system calls for us"


_GAPS = (
    (2, "moves between folders (always denied)"),
    (3, "truncation"),
    (4, "TCP"),
    (5, "device controls"),
    (6, "signals and abstract sockets"),
)


def kernel_support() -> Applied:
    """What `apply` will be able to say here, for the one warning line at start."""
    return Applied(landlock.abi(), seccomp.available())


def apply(sandbox: Sandbox) -> Applied:
    """Restrict the calling thread and all it starts: the whole process, where it is single-threaded.

    The limits (`files`, `memory`, `processes`, `cpu`, `core`) are the process's in any case.

    A second call narrows what the first has left. Raises ProcessError where a path is missing or the
    kernel refuses; the process must then end.
    """
    try:
        _no_new_privileges()
        version = landlock.abi()
        if version is not None:
            paths = [(path, landlock.READ) for path in sandbox.read]
            paths += [(path, landlock.EXECUTE) for path in sandbox.execute]
            paths += [(path, landlock.WRITE) for path in sandbox.write]
            landlock.restrict(version, paths, sandbox.connect_ports, binds=sandbox.binds)
        filters = seccomp.available()
        if filters and sandbox.connect_ports is not None:
            seccomp.restrict(_INTERNET if sandbox.connect_ports else ())
        _limit(sandbox)
    except OSError as fault:
        raise ProcessError(f"sandbox cannot be applied: {fault.strerror}", where=fault.filename) from fault
    return Applied(version, filters)


def interpreter_paths() -> tuple[str, ...]:
    """What Python reads while it runs, as far as it exists: libraries, time zones, the random device."""
    places = {
        sys.prefix,
        sys.base_prefix,
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        # Not all of sys.path: the folder a program was started in may hold anything, keys included.
        *(path for path in sys.path if Path(path).name in _LIBRARY_FOLDERS),
        "/usr/lib",
        "/usr/lib64",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/usr/share/zoneinfo",
        "/dev/urandom",
        "/dev/null",
    }
    return tuple(sorted(place for place in places if Path(place).exists()))


def _no_new_privileges() -> None:
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "no_new_privs")


def _limit(sandbox: Sandbox) -> None:
    limits = (
        (resource.RLIMIT_CORE, sandbox.core),
        (resource.RLIMIT_NOFILE, sandbox.files),
        (resource.RLIMIT_DATA, sandbox.memory),
        (resource.RLIMIT_NPROC, sandbox.processes),
        (resource.RLIMIT_CPU, sandbox.cpu),
    )
    for kind, wanted in limits:
        if wanted is not None:
            _, ceiling = resource.getrlimit(kind)
            value = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
            resource.setrlimit(kind, (value, value))
