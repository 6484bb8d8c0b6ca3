"""Durable files of the audit log: the only place in this folder that syncs and renames."""

import os
from contextlib import suppress
from pathlib import Path

PUBLIC_FILE = 0o644
"""The mode of what the counterpart reads."""

PRIVATE_FILE = 0o600
"""The mode of what stays with us."""

_DIRECTORY = 0o755


def make_directory(path: Path) -> None:
    """Make `path` and its missing parents durably, searchable by all; nothing happens to those that exist."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
        path.chmod(_DIRECTORY)
        sync_directory(path.parent)


def replace_file(path: Path, data: bytes, *, scratch: Path, mode: int, durable: bool = True) -> None:
    """Put `data` at `path` whole or not at all, by way of `scratch` on the same file system.

    Unless `durable`, a power loss (not a crash of this process) may leave `path` old, missing or short.
    """
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        os.fchmod(fd, mode)
        write_all(fd, data)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    scratch.replace(path)
    if durable:
        sync_directory(path.parent)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` at the descriptor's position."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
