"""Clients other than OpenSSH's sftp: scp, lftp, rclone."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from daemon import PATIENCE, Daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("clients") / "instance") as running:
        yield running


def run(daemon: Daemon, *argv: str) -> "subprocess.CompletedProcess[str]":
    home = {"HOME": str(daemon.desk), "RCLONE_CONFIG": "/dev/null"}
    return subprocess.run(
        argv, capture_output=True, text=True, cwd=daemon.desk, env=os.environ | home, timeout=2 * PATIENCE
    )


def run_well(daemon: Daemon, *argv: str) -> str:
    done = run(daemon, *argv)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{daemon.log}"
    return done.stdout + done.stderr


def scp(daemon: Daemon, *argv: str) -> str:
    return run_well(daemon, "scp", "-s", "-P", str(daemon.port), *daemon.ssh_options(), *argv)


def lftp(daemon: Daemon, *commands: str) -> str:
    connect = " ".join(["ssh", "-a", "-x", *daemon.ssh_options()])
    settings = ["set cmd:fail-exit yes", "set net:max-retries 1", f'set sftp:connect-program "{connect}"']
    where = f"open -u {daemon.user},none sftp://{daemon.host}:{daemon.port}"
    return run_well(daemon, "lftp", "--norc", "-c", "; ".join([*settings, where, *commands]))


def rclone(daemon: Daemon, *argv: str) -> str:
    options = {
        "sftp-host": daemon.host,
        "sftp-port": daemon.port,
        "sftp-user": daemon.user,
        "sftp-key-file": daemon.key,
        "sftp-known-hosts-file": daemon.known_hosts,
        "retries": 1,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return run_well(daemon, "rclone", *argv, *flags)


def test_scp_takes_a_file_and_a_tree_both_ways(daemon: Daemon) -> None:
    content = os.urandom(1_000_000)
    daemon.file("scp file", content)
    (daemon.desk / "folder").mkdir()
    daemon.file("folder/inner", b"inner")
    remote = f"{daemon.user}@{daemon.host}:/upload"
    scp(daemon, "scp file", f"{remote}/")
    scp(daemon, "-r", "-p", "folder", f"{remote}/folder")
    assert (daemon.inbound / "scp file").read_bytes() == content
    assert (daemon.inbound / "folder/inner").read_bytes() == b"inner"
    scp(daemon, f"{remote}/scp file", "scp back")
    scp(daemon, "-r", f"{remote}/folder", "folder back")
    assert (daemon.desk / "scp back").read_bytes() == content
    assert (daemon.desk / "folder back/inner").read_bytes() == b"inner"


def test_scp_overwrites_a_longer_file(daemon: Daemon) -> None:
    daemon.file("longer", b"a longer text")
    daemon.file("short", b"short")
    remote = f"{daemon.user}@{daemon.host}:/upload/overwritten"
    scp(daemon, "longer", remote)
    scp(daemon, "short", remote)
    assert (daemon.inbound / "overwritten").read_bytes() == b"short"


def test_lftp_mirrors_puts_and_continues(daemon: Daemon) -> None:
    tree = daemon.desk / "tree"
    (tree / "sub").mkdir(parents=True)
    for number in range(20):
        (tree / f"{number}").write_bytes(os.urandom(number * 5000))
    (tree / "sub/leaf").write_bytes(b"leaf")
    lftp(daemon, "mirror -R tree /upload/mirrored")
    for path in tree.rglob("*"):
        twin = daemon.inbound / "mirrored" / path.relative_to(tree)
        assert twin.is_dir() if path.is_dir() else twin.read_bytes() == path.read_bytes()
    content = os.urandom(400_000)
    daemon.file("continued", content)
    (daemon.staging / "demo/upload/continued").write_bytes(content[:150_000])
    lftp(daemon, "cd /upload", "put -c continued", "mv continued moved", "get moved -o lftp-back", "ls")
    assert (daemon.inbound / "moved").read_bytes() == content
    assert (daemon.desk / "lftp-back").read_bytes() == content
    lftp(daemon, "rm /upload/moved", "mirror -R tree /upload/mirrored", "rm -r /upload/mirrored")
    assert not (daemon.inbound / "mirrored").exists()


def test_rclone_copies_checks_and_moves(daemon: Daemon) -> None:
    tree = daemon.desk / "rclone-tree"
    (tree / "sub").mkdir(parents=True)
    for number in range(10):
        (tree / "sub" / f"{number}").write_bytes(os.urandom(number * 40_000))
    rclone(daemon, "copy", "rclone-tree", ":sftp:/upload/rclone")
    for path in tree.rglob("*/*"):
        twin = daemon.inbound / "rclone" / path.relative_to(tree)
        assert twin.read_bytes() == path.read_bytes()
        assert int(twin.stat().st_mtime) == int(path.stat().st_mtime)
    assert "0 differences found" in rclone(
        daemon, "check", "--download", "rclone-tree", ":sftp:/upload/rclone"
    )
    rclone(daemon, "copy", "rclone-tree", ":sftp:/upload/rclone")
    rclone(daemon, "moveto", ":sftp:/upload/rclone/sub/9", ":sftp:/upload/rclone/nine")
    assert (daemon.inbound / "rclone/nine").read_bytes() == (tree / "sub/9").read_bytes()
    rclone(daemon, "copyto", "rclone-tree/sub/8", ":sftp:/upload/rclone/nine")
    assert (daemon.inbound / "rclone/nine").read_bytes() == (tree / "sub/8").read_bytes()
    rclone(daemon, "moveto", "rclone-tree/sub/7", ":sftp:/upload/seven")
    assert not (tree / "sub/7").exists()
    rclone(daemon, "copy", ":sftp:/upload/rclone", "rclone-back")
    assert (daemon.desk / "rclone-back/nine").read_bytes() == (tree / "sub/8").read_bytes()
    rclone(daemon, "purge", ":sftp:/upload/rclone")
    assert not (daemon.inbound / "rclone").exists()


def test_paramiko_puts_and_confirms(daemon: Daemon) -> None:
    content = os.urandom(2_000_000)
    local = daemon.file("paramiko", content)
    with daemon.sftp() as sftp:
        assert sftp.put(str(local), "/upload/paramiko").st_size == len(content)
        sftp.get("/upload/paramiko", str(daemon.desk / "paramiko-back"))
        with sftp.open("/upload/paramiko", "r+b") as remote:
            remote.seek(10)
            remote.write(b"patched")
        with sftp.open("/upload/paramiko", "ab") as remote:
            remote.write(b"appended")
        sftp.truncate("/upload/paramiko", 1_000_000)
    assert (daemon.desk / "paramiko-back").read_bytes() == content
    assert (daemon.inbound / "paramiko").read_bytes() == content[:10] + b"patched" + content[17:1_000_000]
