"""File systems that a test mounts."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon import holds


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
