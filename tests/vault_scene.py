"""A vault in a folder, for tests and for a process that is killed while it is at work in one."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deaths import die_before

from sftpd.files.beneath import Root
from sftpd.files.data_keys import WrappingKey
from sftpd.files.vault import Vault

SECRET = bytes(range(32))


def make_vault(folder: Path, secret: bytes = SECRET, keys: Path | None = None) -> Vault:
    """The vault of `demo`, not opened yet: `vault/` and `keys/` in the folder."""
    (folder / "vault").mkdir(parents=True, exist_ok=True)
    path = (keys or folder / "keys") / "demo.keys"
    return Vault(folder / "vault", path, WrappingKey(secret), "demo")


@contextlib.contextmanager
def vault_in(folder: Path, **options: object) -> Iterator[Vault]:
    with contextlib.closing(make_vault(folder, **options)) as vault:
        yield vault


def put(vault: Vault, content: bytes) -> str:
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        return vault.put(fd)
    finally:
        os.close(fd)


def read(vault: Vault, identifier: str) -> bytes:
    with vault.open(identifier) as copy:
        return b"".join(copy.chunks())


def sealed_files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "vault").rglob("*") if path.is_file())


def killed_at(step: int, folder: Path, *work: str) -> "subprocess.CompletedProcess[str]":
    """Another process that is killed at that step of `put CONTENT` or `destroy ID`."""
    return subprocess.run(
        [sys.executable, __file__, str(folder), str(step), *work], capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    here = make_vault(Path(sys.argv[1]))
    here.require_key()
    disk = (os, ("pwrite", "write", "fsync", "fdatasync")), (Root, ("open", "rename", "unlink", "mkdir"))
    die_before(int(sys.argv[2]), *disk)
    if sys.argv[3] == "put":
        print(put(here, sys.argv[4].encode()), flush=True)
    else:
        here.destroy(sys.argv[4])
        print("destroyed", flush=True)
