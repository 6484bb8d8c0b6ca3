"""File systems that a test mounts."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import holds


@contextmanager
def sshfs(remote: Path, mount: Path) -> Iterator[None]:
    """Mount `remote` at `mount`: sshfs and OpenSSH's server, joined by pipes."""
    server = "/usr/lib/openssh/sftp-server"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("FUSE may not be used here")
    (to_server, from_client), (to_client, from_server) = os.pipe(), os.pipe()
    with (
        subprocess.Popen([server], stdin=to_server, stdout=from_server) as serving,
        subprocess.Popen(
            ["sshfs", "-f", "-o", "passive", f":{remote}", str(mount)], stdin=to_client, stdout=from_client
        ),
    ):
        for fd in (to_server, from_client, to_client, from_server):
            os.close(fd)
        try:
            assert holds(mount.is_mount)
            yield
        finally:
            subprocess.run(["umount", "-l", mount], check=True)
            serving.terminate()


@contextmanager
def ext4(image: Path, mount: Path, *, size: int = 32) -> Iterator[None]:
    """Mount the ext4 in a file, made of `size` MiB where there is none; its loop device goes with it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    if not image.exists():
        image.touch()
        os.truncate(image, size << 20)
        subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    mount.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", "loop", image, mount], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    try:
        yield
    finally:
        assert holds(lambda: subprocess.run(["umount", mount], capture_output=True).returncode == 0)


@contextmanager
def small(folder: Path, size: int) -> Iterator[None]:
    """Mount a tmpfs of `size` MiB over a folder, with what lies there now."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    kept = folder.with_name(f"{folder.name}-below")
    subprocess.run(["cp", "-a", folder, kept], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "small", folder], check=True)
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", folder], check=True)
        yield
    finally:
        assert holds(lambda: subprocess.run(["umount", folder], capture_output=True).returncode == 0)


def enlarge(folder: Path, size: int) -> None:
    """Let a file system that `small` mounted have `size` MiB."""
    subprocess.run(["mount", "-o", f"remount,size={size}m", folder], check=True)
