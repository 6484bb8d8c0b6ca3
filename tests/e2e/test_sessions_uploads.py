"""Uploads by real clients: whole or not at all, whatever the size, the name and the end of the session."""

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Daemon, eventually

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("uploads") / "instance") as running:
        yield running


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def staged(daemon: Daemon, name: str) -> Path:
    return daemon.staging / "demo/upload" / name


@pytest.mark.parametrize("size", [0, 1, 33 * KIB, 5 * MIB, 64 * MIB])
def test_what_arrives_is_what_was_sent(daemon: Daemon, size: int) -> None:
    local = daemon.file(f"local-{size}", os.urandom(size))
    daemon.sftp_done(f"put local-{size} /upload/sized", "get /upload/sized back")
    assert digest(daemon.inbound / "sized") == digest(local) == digest(daemon.desk / "back")


@pytest.mark.parametrize(
    "name", ["with two  spaces", "naïve-文件-🗄", "-rf", "n" * 255, "quo'te\"$(id);&|*?[x]"]
)
def test_every_name_that_the_file_system_takes(daemon: Daemon, name: str) -> None:
    with daemon.sftp() as sftp:
        with sftp.open(f"/upload/{name}", "wb") as remote:
            remote.write(name.encode())
        assert name in sftp.listdir("/upload")
        sftp.rename(f"/upload/{name}", f"/upload/{name[:200]}2")
        assert (daemon.inbound / f"{name[:200]}2").read_bytes() == name.encode()
        sftp.remove(f"/upload/{name[:200]}2")


def test_openssh_puts_a_name_with_spaces_and_one_that_begins_with_a_dash(daemon: Daemon) -> None:
    daemon.file("a b é", b"1")
    daemon.file("-n", b"2")
    daemon.sftp_done('put "a b é" /upload/', "put ./-n /upload/", 'ls "/upload/a b é"')
    assert (daemon.inbound / "a b é").read_bytes() == b"1"
    assert (daemon.inbound / "-n").read_bytes() == b"2"


def test_a_name_that_is_not_utf_8(daemon: Daemon) -> None:
    name = b"caf\xe9-\xff.txt"
    with daemon.sftp() as sftp, sftp.open(b"/upload/" + name, "wb") as remote:
        remote.write(b"bytes")
    assert (Path(os.fsdecode(bytes(daemon.inbound) + b"/" + name))).read_bytes() == b"bytes"
    daemon.sftp_done("get /upload/caf* latin")
    assert (daemon.desk / "latin").read_bytes() == b"bytes"


def test_a_name_that_is_too_long_is_refused(daemon: Daemon) -> None:
    with daemon.sftp() as sftp, pytest.raises(OSError, match=r"bad path|too long"):
        sftp.open("/upload/" + "n" * 256, "wb")


def test_a_slow_upload_is_not_seen_until_it_is_whole(daemon: Daemon) -> None:
    content = os.urandom(3 * MIB)
    daemon.file("slow", content)
    client = start(daemon, "put slow /upload/slow", "-l", "12000")
    part = staged(daemon, "slow")
    looks = set()
    while client.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            looks.add(part.stat().st_size // MIB)
        target = daemon.inbound / "slow"
        assert not target.exists() or target.read_bytes() == content
    assert looks, "the upload was never seen on its way"
    assert client.wait() == 0
    assert (daemon.inbound / "slow").read_bytes() == content


def test_a_stopped_client_publishes_nothing_and_then_goes_on(daemon: Daemon) -> None:
    content = os.urandom(4 * MIB)
    daemon.file("paused", content)
    client = start(daemon, "put paused /upload/paused", "-l", "40000")
    eventually(lambda: part_size(daemon, "paused") > MIB, daemon)
    os.killpg(client.pid, signal.SIGSTOP)
    assert not (daemon.inbound / "paused").exists()
    os.killpg(client.pid, signal.SIGCONT)
    assert client.wait(60) == 0
    assert (daemon.inbound / "paused").read_bytes() == content


@pytest.mark.parametrize("victim", ["session", "client"])
def test_a_broken_off_upload_publishes_nothing_and_reput_completes_it(daemon: Daemon, victim: str) -> None:
    name = f"broken-by-{victim}"
    content = os.urandom(6 * MIB)
    daemon.file(name, content)
    client = start(daemon, f"put {name} /upload/{name}", "-l", "40000")
    eventually(lambda: part_size(daemon, name) > MIB, daemon)
    if victim == "session":
        os.kill(daemon.sessions[-1], signal.SIGKILL)
    else:
        os.killpg(client.pid, signal.SIGKILL)
    assert client.wait(60) != 0
    eventually(lambda: not daemon.sessions, daemon)
    assert not (daemon.inbound / name).exists()
    kept = part_size(daemon, name)
    assert MIB < kept < len(content)
    daemon.sftp_done(f"reput {name} /upload/{name}")
    assert (daemon.inbound / name).read_bytes() == content
    assert not staged(daemon, name).exists()


def test_a_session_that_ends_without_close_keeps_the_part(daemon: Daemon) -> None:
    with daemon.sftp() as sftp:
        remote = sftp.open("/upload/open", "wb")
        remote.write(b"half")
        sftp.close()
    eventually(lambda: not daemon.sessions, daemon)
    assert not (daemon.inbound / "open").exists()
    assert staged(daemon, "open").read_bytes() == b"half"
    assert "open" in daemon.sftp_done("ls /upload")
    eventually(lambda: daemon.events_of("transfer.interrupted"), daemon)


def test_two_sessions_at_one_name_never_mix(daemon: Daemon) -> None:
    contents = [bytes([letter]) * MIB for letter in b"AB"]
    outcomes: list[str] = []

    def upload(content: bytes) -> None:
        try:
            with daemon.sftp() as sftp:
                for _ in range(4):
                    with sftp.open("/upload/both", "wb") as remote:
                        for start in range(0, len(content), 32 * KIB):
                            remote.write(content[start : start + 32 * KIB])
                    outcomes.append("done")
        except OSError as refused:
            outcomes.append(str(refused))

    threads = [threading.Thread(target=upload, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        published = daemon.inbound / "both"
        assert not published.exists() or published.read_bytes() in contents
    assert "done" in outcomes
    assert all(said == "done" or "another session is writing" in said for said in outcomes)
    assert (daemon.inbound / "both").read_bytes() in contents


def test_sessions_that_fill_one_folder_do_not_disturb_each_other(daemon: Daemon) -> None:
    daemon.sftp_done("mkdir /upload/busy", "mkdir /upload/busy/deep")
    faults: list[Exception] = []

    def fill(number: int) -> None:
        try:
            with daemon.sftp() as sftp:
                for file in range(15):
                    sftp.putfo(io.BytesIO(b"%d" % file), f"/upload/busy/deep/{number}-{file}")
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, daemon.log
    assert len(list((daemon.inbound / "busy/deep").iterdir())) == 60
    assert not list((daemon.link / ".sftpd/screening").iterdir())


@pytest.mark.parametrize("suffix", [".part", ".filepart", ".partial", ".tmp", "~"])
def test_a_temporary_name_stays_unpublished_until_it_is_renamed(daemon: Daemon, suffix: str) -> None:
    daemon.file("whole", b"whole")
    daemon.sftp_done(f"put whole /upload/final{suffix}")
    assert staged(daemon, f"final{suffix}").read_bytes() == b"whole"
    assert not (daemon.inbound / f"final{suffix}").exists()
    daemon.sftp_done(f"rename /upload/final{suffix} /upload/final")
    assert (daemon.inbound / "final").read_bytes() == b"whole"
    daemon.sftp_done("rm /upload/final")


def test_overwriting_replaces_the_published_file_only_when_whole(daemon: Daemon) -> None:
    (daemon.desk / "first").write_bytes(b"first")
    daemon.sftp_done("put first /upload/again")
    with daemon.sftp() as sftp:
        with sftp.open("/upload/again", "wb") as remote:
            remote.write(b"second")
            remote.flush()
            assert (daemon.inbound / "again").read_bytes() == b"first"
        assert (daemon.inbound / "again").read_bytes() == b"second"


def test_a_stat_still_answers_after_a_consumer_took_the_file(daemon: Daemon) -> None:
    with daemon.sftp() as sftp:
        with sftp.open("/upload/taken", "wb") as remote:
            remote.write(b"12345")
        (daemon.inbound / "taken").unlink()
        assert sftp.stat("/upload/taken").st_size == 5


def test_one_received_event_for_each_published_file(daemon: Daemon) -> None:
    before = len(daemon.events_of("transfer.received"))
    daemon.file("counted", b"x")
    daemon.sftp_done("put counted /upload/counted1", "put counted /upload/counted2")
    eventually(lambda: len(daemon.events_of("transfer.received")) == before + 2, daemon)
    assert not any("counted" in str(event) for event in daemon.events())


def start(daemon: Daemon, command: str, *options: str) -> "subprocess.Popen[bytes]":
    client = subprocess.Popen(
        daemon.sftp_command(*options),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=daemon.desk,
        start_new_session=True,
    )
    assert client.stdin is not None
    with client.stdin as commands:
        commands.write(f"{command}\n".encode())
    return client


def part_size(daemon: Daemon, name: str) -> int:
    try:
        return staged(daemon, name).stat().st_size
    except FileNotFoundError:
        return 0
