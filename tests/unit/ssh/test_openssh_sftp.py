"""OpenSSH's own client against the engine and the view: `sftp -D` starts a server program without SSH."""

import subprocess
import sys
from pathlib import Path

import account_sessions
import pytest


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return tmp_path / "published"


def sftp(base: Path, *commands: str) -> subprocess.CompletedProcess[str]:
    """Run a batch of commands that ends at the first that fails."""
    server = f"{sys.executable} {account_sessions.__file__} {base}"
    return subprocess.run(
        ["sftp", "-q", "-b", "-", "-D", server],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        cwd=base,
        timeout=60,
    )


def test_put_list_rename_chmod_get_and_remove(tmp_path: Path, published: Path) -> None:
    content = bytes(range(256)) * 4000
    (tmp_path / "local").write_bytes(content)
    done = sftp(
        tmp_path,
        "cd /upload",
        "mkdir d",
        "put -p local d/a",
        "ls -l d",
        "rename d/a d/b",
        "chmod 640 d/b",
        "get d/b back",
        "df /upload",
    )
    assert done.returncode == 0, done.stderr
    assert " alice    demo      1024000 " in done.stdout
    assert (published / "upload/d/b").read_bytes() == content
    assert (tmp_path / "back").read_bytes() == content
    done = sftp(tmp_path, "rm /upload/d/b", "rmdir /upload/d", "ls /upload")
    assert done.returncode == 0, done.stderr
    assert not list((published / "upload").iterdir())


def test_reput_completes_a_part_and_reget_a_fetch(tmp_path: Path, published: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "local").write_bytes(content)
    (tmp_path / "staging/upload").mkdir(parents=True)
    (tmp_path / "staging/upload/a").write_bytes(content[:100_001])
    (tmp_path / "back").write_bytes(content[:70_000])
    done = sftp(tmp_path, "reput local /upload/a", "reget /upload/a back")
    assert done.returncode == 0, done.stderr
    assert (published / "upload/a").read_bytes() == content
    assert (tmp_path / "back").read_bytes() == content


@pytest.mark.parametrize(
    "command",
    ["get /../../etc/passwd x", "put local /download/x", "ln -s /etc/passwd /upload/x", "rm /audit"],
)
def test_what_is_not_allowed_fails_clearly(tmp_path: Path, command: str) -> None:
    (tmp_path / "local").touch()
    done = sftp(tmp_path, command)
    assert done.returncode == 1
    assert "ermission denied" in done.stderr or "not found" in done.stderr
