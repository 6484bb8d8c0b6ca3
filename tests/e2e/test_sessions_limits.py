"""What an account may use ends where its limits say, with a clear answer for the partner and an event."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from daemon import PATIENCE, Daemon, eventually
from waiting import holds

MIB = 1024 * 1024


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "instance")
    try:
        yield made
    finally:
        made.kill()


def limit(daemon: Daemon, *lines: str) -> None:
    """Limit the demo account, and serve."""
    text = daemon.link_config.read_text()
    head, _, rest = text.partition("\n[[route]]")
    daemon.link_config.write_text("\n".join([head, "[account.limits]", *lines, "", f"[[route]]{rest}"]))
    daemon.start()


def reached(daemon: Daemon) -> list[str]:
    """The limits that events tell of."""
    return [event["data"]["limit"] for event in daemon.events_of("limit.reached")]


def put(daemon: Daemon, name: str, size: int) -> "subprocess.CompletedProcess[str]":
    daemon.file(name, b"x" * size)
    return daemon.sftp_batch(f"put {name} /upload/{name}")


def received(daemon: Daemon) -> list[str]:
    return sorted(path.name for path in daemon.inbound.iterdir())


def test_the_files_of_a_day_are_counted_across_a_restart(daemon: Daemon) -> None:
    limit(daemon, "files_per_day = 2")
    for name in ("one", "two"):
        assert put(daemon, name, 10).returncode == 0
    assert "limit of 2 files a day reached" in put(daemon, "three", 10).stderr
    daemon.stop()
    daemon.start()
    (daemon.inbound / "one").unlink()  # to take a file makes no room for another today
    assert "limit of 2 files a day reached" in put(daemon, "three", 10).stderr
    assert received(daemon) == ["two"]
    assert reached(daemon) == ["FILES_PER_DAY"] * 2


def test_an_upload_is_cut_off_at_the_bytes_of_the_day(daemon: Daemon) -> None:
    limit(daemon, 'bytes_per_day = "1 MiB"')
    assert put(daemon, "small", 600_000).returncode == 0
    refused = put(daemon, "large", 4 * MIB)
    assert refused.returncode != 0
    assert f"limit of {MIB} bytes a day reached" in refused.stderr
    assert (daemon.staging / daemon.user / "upload/large").stat().st_size <= MIB - 600_000
    assert received(daemon) == ["small"]
    assert reached(daemon) == ["BYTES_PER_DAY"]
    assert put(daemon, "rest", MIB - 600_000).returncode == 0


def test_uploads_side_by_side_do_not_pass_the_limit_together(daemon: Daemon) -> None:
    limit(daemon, 'bytes_per_day = "1 MiB"')
    with daemon.sftp() as one, daemon.sftp() as other:
        files = [client.open(f"/upload/{i}", "wb") for i, client in enumerate((one, other))]
        files[0].write(b"x" * 700_000)
        with pytest.raises(OSError, match="bytes a day reached"):
            files[1].write(b"x" * 700_000)
        files[0].close()
        files[1].close()
    assert sum(path.stat().st_size for path in daemon.inbound.iterdir()) == 700_000


def test_a_part_that_is_open_twice_has_one_limit(daemon: Daemon) -> None:
    limit(daemon, 'bytes_per_day = "1 MiB"')
    with daemon.sftp() as client, client.open("/upload/part", "wb") as one:
        one.write(b"x" * 700_000)
        other = client.open("/upload/part", "r+")
        other.seek(700_000)
        with pytest.raises(OSError, match="bytes a day reached"):
            other.write(b"x" * 700_000)


def available(daemon: Daemon) -> int:
    """The bytes that a partner is told there is room for."""
    told = daemon.sftp_done("df /upload").splitlines()[-1].split()
    return int(told[3]) * 1024


@pytest.mark.parametrize("kind", ["storage", "bytes_per_day", "files_per_day", "none"])
def test_a_partner_is_told_what_room_its_limits_leave(daemon: Daemon, kind: str) -> None:
    device = os.statvfs(daemon.inbound)
    if kind == "storage":
        daemon.configure_link("link", 'storage = "1 MiB"')
        daemon.start()
    elif kind == "none":
        daemon.start()
    else:
        limit(daemon, 'bytes_per_day = "1 MiB"' if kind == "bytes_per_day" else "files_per_day = 1")
    before = available(daemon)
    if kind in ("storage", "bytes_per_day"):
        assert before == MIB
    else:
        assert before > MIB
    assert put(daemon, "one", 600 * 1024).returncode == 0
    after = available(daemon)
    left = MIB - 600 * 1024
    assert after == {"storage": left, "bytes_per_day": left, "files_per_day": 0}.get(kind, after)
    (daemon.inbound / "one").unlink()
    if kind == "storage":
        eventually(lambda: available(daemon) == MIB, daemon)
    if kind == "none":
        assert device.f_bavail * device.f_frsize / 2 < after <= device.f_blocks * device.f_frsize


def test_what_lies_here_is_limited_until_it_is_taken(daemon: Daemon) -> None:
    daemon.configure_link("link", 'storage = "1 MiB"')
    daemon.start()
    assert put(daemon, "one", 700_000).returncode == 0
    refused = put(daemon, "two", 700_000)
    assert f"limit of {MIB} bytes stored here reached" in refused.stderr
    assert reached(daemon) == ["STORAGE"]
    (daemon.inbound / "one").unlink()
    assert holds(lambda: put(daemon, "two", 700_000).returncode == 0)
    assert received(daemon) == ["two"]


@pytest.mark.parametrize("key", ["storage", "bytes_per_day"])
@pytest.mark.parametrize("sessions", [1, 2])
def test_a_part_that_gets_its_final_name_counts_once(daemon: Daemon, key: str, sessions: int) -> None:
    if key == "storage":
        daemon.configure_link("link", 'storage = "1 MiB"')
        daemon.start()
    else:
        limit(daemon, 'bytes_per_day = "1 MiB"')
    daemon.file("file", b"x" * 1_000_000)
    commands = ["put file /upload/file.part", "rename /upload/file.part /upload/file"]
    if sessions == 1:
        commands = ["\n".join(commands)]
    for each in commands:
        done = daemon.sftp_batch(each)
        assert done.returncode == 0, done.stderr
    assert received(daemon) == ["file"]
    assert (daemon.inbound / "file").stat().st_size == 1_000_000
    assert "bytes" in put(daemon, "more", 60_000).stderr


def test_a_published_file_that_is_opened_to_be_changed_counts_twice_while_it_is_open(daemon: Daemon) -> None:
    daemon.configure_link("link", 'storage = "1 MiB"')
    daemon.start()
    (daemon.inbound / "large").write_bytes(b"x" * 600_000)
    with daemon.sftp() as client, pytest.raises(OSError, match=f"limit of {MIB} bytes stored here reached"):
        client.open("/upload/large", "r+")
    assert reached(daemon) == ["STORAGE"]
    assert not (daemon.staging / daemon.user / "upload/large").exists()
    (daemon.inbound / "large").unlink()
    (daemon.inbound / "small").write_bytes(b"x" * 400_000)
    with daemon.sftp() as client:
        eventually(lambda: may_open(client, "/upload/small"), daemon)  # by then it is seen that there is room
        with client.open("/upload/small", "r+"):
            assert "bytes stored here reached" in put(daemon, "other", 400_000).stderr
        assert holds(lambda: put(daemon, "other", 400_000).returncode == 0)


def test_a_part_that_is_opened_again_counts_with_what_it_has(daemon: Daemon) -> None:
    daemon.configure_link("link", 'storage = "1 MiB"')
    daemon.start()
    with daemon.sftp() as client:
        with client.open("/upload/part.tmp", "wb") as part:
            part.write(b"x" * 700_000)
        with client.open("/upload/part.tmp", "r+"):
            assert "bytes stored here reached" in put(daemon, "other", 600_000).stderr


def may_open(client: paramiko.SFTPClient, path: str) -> bool:
    try:
        client.open(path, "r+").close()
    except OSError:
        return False
    return True


def test_a_listing_ends_at_its_limit(daemon: Daemon) -> None:
    limit(daemon, "list_entries = 3")
    for number in range(3):
        (daemon.inbound / f"{number}").write_bytes(b"")
    assert len(daemon.sftp_done("ls -1 /upload").splitlines()) == 4  # the command itself comes first
    (daemon.inbound / "3").write_bytes(b"")
    assert "read directory" in daemon.sftp_batch("ls /upload").stderr
    with daemon.sftp() as client, pytest.raises(OSError, match="more than 3 entries"):
        client.listdir("/upload")
    assert reached(daemon) == ["LIST_ENTRIES"] * 2


def test_handles_and_sessions_are_the_account_s_own(daemon: Daemon) -> None:
    daemon.configure("limits", "handles = 5")
    limit(daemon, "handles = 2", "sessions = 1")
    (daemon.inbound / "file").write_bytes(b"x")
    with daemon.sftp() as client:
        files = [client.open("/upload/file"), client.open("/upload/file")]
        with pytest.raises(OSError, match="too many open handles"):
            client.open("/upload/file")
        files[0].close()
        client.open("/upload/file").close()
        assert "Permission denied" in daemon.sftp_batch("ls").stderr
        files[1].close()
    eventually(lambda: not daemon.sessions, daemon)
    assert reached(daemon) == ["HANDLES"]
    refused = daemon.events_of("session.refused")
    assert [event["data"]["reason"] for event in refused] == ["TOO_MANY_SESSIONS"]


@pytest.mark.parametrize("fate", ["waits", "removed", "removed while open"])
def test_a_part_that_nobody_writes_any_more_holds_no_more_than_it_has(daemon: Daemon, fate: str) -> None:
    limit(daemon, 'bytes_per_day = "128 KiB"')
    with daemon.sftp() as client:
        for number in range(6):
            name = f"/upload/{number}.tmp"
            with client.open(name, "wb") as part:
                part.write(b"x")
                if fate == "removed while open":
                    client.remove(name)
            if fate == "removed":
                client.remove(name)
        with daemon.sftp() as other, other.open("/upload/other", "wb") as file:
            file.write(b"x")
        if fate == "waits":
            client.posix_rename("/upload/0.tmp", "/upload/0")
            assert received(daemon) == ["0", "other"]
    assert reached(daemon) == []


def test_the_channels_of_a_session_share_its_handles(daemon: Daemon) -> None:
    limit(daemon, "handles = 2")
    (daemon.inbound / "file").write_bytes(b"x")
    with daemon.connected() as transport:
        first, second = (paramiko.SFTPClient.from_transport(transport) for _ in range(2))
        files = [client.open("/upload/file") for client in (first, second)]
        for client in (first, second):
            with pytest.raises(OSError, match="too many open handles"):
                client.open("/upload/file")
        first.close()
        second.open("/upload/file").close()
        files[1].close()


@pytest.mark.parametrize("direction", ["upload", "download"])
def test_the_sessions_of_an_account_share_its_bandwidth(daemon: Daemon, direction: str) -> None:
    """That something takes at least so long holds on a machine of any speed."""
    limit(daemon, f'{direction}_rate = "1 MiB"')
    content = bytes(range(256)) * 8192
    daemon.file("local", content)
    for number in range(2):
        (daemon.inbound / f"there-{number}").write_bytes(content)
    command = "put local /upload/{0}" if direction == "upload" else "get /upload/there-{0} {0}"
    began = time.monotonic()
    clients = [subprocess.Popen(daemon.sftp_command(), stdin=subprocess.PIPE, cwd=daemon.desk) for _ in "12"]
    for number, client in enumerate(clients):
        assert client.stdin is not None
        client.stdin.write(command.format(number).encode() + b"\n")
        client.stdin.close()
    assert [client.wait(4 * PATIENCE) for client in clients] == [0, 0]
    # 4 MiB at 1 MiB/s, of which the first may go at once and each session's last lease is not waited for.
    assert time.monotonic() - began > 2
    where = daemon.inbound if direction == "upload" else daemon.desk
    assert [(where / f"{number}").read_bytes() == content for number in range(2)] == [True, True]


@pytest.mark.parametrize("direction", ["upload", "download"])
def test_a_channel_that_waits_for_the_bandwidth_keeps_up_no_other(daemon: Daemon, direction: str) -> None:
    """The one waits for minutes, far longer than the other has patience."""
    limit(daemon, f'{direction}_rate = "1 KiB"')
    size = 8 * 32_768
    (daemon.inbound / "there").write_bytes(bytes(size))
    with daemon.connected() as transport:
        bulk, other = (paramiko.SFTPClient.from_transport(transport) for _ in range(2))
        other.get_channel().settimeout(PATIENCE)
        if direction == "upload":
            file = bulk.open("/upload/part.tmp", "wb")
            file.set_pipelined(True)
            file.write(bytes(size))
        else:
            file = bulk.open("/upload/there", "rb")
            file.prefetch(size)
        for _ in range(20):
            assert other.stat("/upload/there").st_size == size
        other.mkdir("/upload/made")
        assert {"made", "there"} <= set(other.listdir("/upload"))


def test_without_a_limit_nothing_is_asked_or_told(daemon: Daemon) -> None:
    daemon.start()
    assert put(daemon, "file", 4 * MIB).returncode == 0
    with daemon.sftp() as client, pytest.raises(FileNotFoundError):
        client.stat("/upload/none")
    assert reached(daemon) == []
