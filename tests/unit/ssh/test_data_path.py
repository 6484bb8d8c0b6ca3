"""The data path against clients that rekey, stall, crowd, and never read while they write."""

import contextlib
import hashlib
import os
import threading
from pathlib import Path

import paramiko
import pytest
from account_sessions import close
from paramiko.common import MSG_KEXINIT, cMSG_CHANNEL_DATA
from ssh_scene import connected
from waiting import until

from sftpd.sftp.requests import OpenFlag
from sftpd.sftp.wire import frame, string, uint32, uint64
from sftpd.ssh import sftp_channel

MIB = 1 << 20
CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"]
INIT = frame(1, uint32(3))
WRITING = uint32(OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE)


def subsystem(client: paramiko.Transport, **options: int) -> paramiko.Channel:
    channel = client.open_session(**options)
    channel.settimeout(60)
    channel.invoke_subsystem("sftp")
    return channel


def take(channel: paramiko.Channel, count: int) -> bytes:
    taken = b""
    while len(taken) < count:
        part = channel.recv(count - len(taken))
        assert part, f"the channel ends after {len(taken)} bytes"
        taken += part
    return taken


def packet(channel: paramiko.Channel) -> bytes:
    return take(channel, int.from_bytes(take(channel, 4), "big"))


def opened(channel: paramiko.Channel, path: bytes, flags: bytes) -> bytes:
    channel.sendall(frame(3, uint32(1), string(path), flags, uint32(0)))
    reply = packet(channel)
    assert reply[0] == 102, reply
    return reply[9:]


@pytest.mark.parametrize("cipher", CIPHERS)
def test_content_survives_rekeys_from_either_side(
    tmp_path: Path, cipher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paramiko.packet.Packetizer, "REKEY_BYTES", 5 * MIB)
    content = os.urandom(24 * MIB)
    with connected(tmp_path) as (server, client):
        server.transport.wire._keys._renew_after = 3 * MIB
        exchanges = _count_exchanges(server.transport)
        client.get_security_options().ciphers = [cipher]
        client.renegotiate_keys()
        sftp = paramiko.SFTPClient.from_transport(client)
        assert sftp is not None
        with sftp.open("/upload/big", "wb", 32768) as file:
            file.set_pipelined(True)
            file.write(content)
        with sftp.open("/upload/big", "rb") as file:
            file.prefetch()
            assert hashlib.sha256(file.read()).digest() == hashlib.sha256(content).digest()
    assert len(exchanges) > 10


@pytest.mark.parametrize("first", ["mlkem768x25519-sha256", "curve25519-sha256@libssh.org"])
def test_a_key_exchange_that_was_guessed_wrong_is_dropped(tmp_path: Path, first: str) -> None:
    with connected(tmp_path) as (server, client):
        options = client.get_security_options()
        options.kex = [first, *(name for name in options.kex if name != first)]
        options.key_types = ["rsa-sha2-512"]
        send, exchanges = client._send_message, _count_exchanges(server.transport)
        in_order = threading.Lock()

        def guess(message: paramiko.Message) -> None:
            """Say that a packet follows on a guess; where that is wrong it does, and is of no use."""
            payload = bytearray(message.asbytes())
            # The client's own thread answers the server's KEXINIT, and may not get ahead of the guess.
            with in_order:
                if payload[0] != MSG_KEXINIT:
                    send(message)
                    return
                payload[-5] = 1
                client.local_kex_init = bytes(payload)
                send(paramiko.Message(client.local_kex_init))
                if first != server.transport.preferred_kex[0]:
                    send(paramiko.Message(b"\x1e" + string(b"nonsense")))

        client._send_message = guess
        client.renegotiate_keys()
        sftp = paramiko.SFTPClient.from_transport(client)
        assert sftp is not None
        assert sftp.listdir("/upload") == []
    assert len(exchanges) == 1


def _count_exchanges(transport: paramiko.Transport) -> list[bytes]:
    seen: list[bytes] = []
    activate = transport._activate_inbound

    def activated() -> None:
        seen.append(transport.H)
        activate()

    transport._activate_inbound = activated
    return seen


def test_a_client_that_never_reads_while_it_writes_is_not_deadlocked(tmp_path: Path) -> None:
    with connected(tmp_path) as (server, client):
        channel = subsystem(client)
        channel.sendall(INIT)
        packet(channel)
        (tmp_path / "published/download/f").write_bytes(os.urandom(MIB))
        handle = opened(channel, b"/download/f", uint32(OpenFlag.READ))
        reads = b"".join(
            frame(5, uint32(n), string(handle), uint64(0), uint32(65_536)) for n in range(2, 2000)
        )
        sender = threading.Thread(target=channel.sendall, args=(reads,))
        sender.start()
        sender.join(60)
        assert not sender.is_alive()
        # All is sent and nothing was read: what is owed waits as requests, not as data.
        served = server.channels[0]
        until(lambda: served.busy)
        assert server.transport.wire._out.pending < 2 * MIB
        for number in range(2, 2000):
            reply = packet(channel)
            assert reply[:5] == bytes([103]) + uint32(number)


def test_a_client_that_writes_all_before_it_reads_a_status_gets_every_status(tmp_path: Path) -> None:
    with connected(tmp_path) as (_, client):
        channel = subsystem(client)
        channel.sendall(INIT)
        packet(channel)
        handle = opened(channel, b"/upload/f", WRITING)
        count = 3 * sftp_channel.WINDOW // 32_768
        for number in range(count):
            data = string(bytes([number & 255]) * 32_768)
            channel.sendall(frame(6, uint32(number), string(handle), uint64(number * 32_768), data))
        for number in range(count):
            assert packet(channel)[:9] == bytes([101]) + uint32(number) + uint32(0)
        channel.sendall(frame(4, uint32(1), string(handle)))
        assert packet(channel)[5:9] == uint32(0)
    written = (tmp_path / "published/upload/f").read_bytes()
    assert written == b"".join(bytes([n & 255]) * 32_768 for n in range(count))


@pytest.mark.parametrize("window", [1, 100, 1000, 70_000])
def test_tiny_windows_get_whole_replies(tmp_path: Path, window: int) -> None:
    content = os.urandom(5000 if window < 1000 else 300_000)
    with connected(tmp_path) as (_, client):
        client._sanitize_window_size = lambda size: size
        channel = subsystem(client, window_size=window)
        (tmp_path / "published/download/f").write_bytes(content)
        channel.sendall(INIT)
        packet(channel)
        handle = opened(channel, b"/download/f", uint32(OpenFlag.READ))
        channel.sendall(frame(5, uint32(2), string(handle), uint64(0), uint32(len(content))))
        got = packet(channel)
        assert got[9:] == content[: len(got) - 9]
        assert len(got) - 9 == min(len(content), 261_120)


def test_several_channels_are_served_at_once_and_end_by_themselves(tmp_path: Path) -> None:
    with connected(tmp_path) as (server, client):
        clients = [paramiko.SFTPClient(subsystem(client)) for _ in range(4)]
        for number, sftp in enumerate(clients):
            file = sftp.open(f"/upload/f{number}", "wb")
            file.write(bytes([number]) * 100_000)
            close(file)
        clients[0].close()
        for number, sftp in enumerate(clients[1:], 1):
            assert sftp.stat(f"/upload/f{number}").st_size == 100_000
        until(lambda: server.transport.count_channels() == 3)


def test_eof_close_and_a_new_channel_during_a_key_exchange(tmp_path: Path) -> None:
    with connected(tmp_path) as (server, client):
        first = subsystem(client)
        first.sendall(INIT)
        packet(first)
        # With the next message the server asks for new keys, and reads that message after.
        server.transport.wire._keys.due = True
        first.shutdown_write()
        second = subsystem(client)
        second.sendall(INIT)
        assert packet(second)[0] == 2
        assert first.recv_exit_status() == 0
        assert first.recv(1) == b""


def test_a_reader_that_stalls_costs_no_memory_and_then_gets_all(tmp_path: Path) -> None:
    with connected(tmp_path, default_window_size=64 * MIB) as (server, client):
        (tmp_path / "published/download/f").write_bytes(bytes(255 * 1024))
        channel = subsystem(client)
        channel.sendall(INIT)
        packet(channel)
        handle = opened(channel, b"/download/f", uint32(OpenFlag.READ))
        client.sock.reads.clear()
        for number in range(200):
            channel.sendall(frame(5, uint32(number), string(handle), uint64(0), uint32(261_120)))
        wire, served = server.transport.wire, server.channels[0]
        until(lambda: wire._out.pending > 256 * 1024 and served.busy)
        assert wire._out.pending < MIB
        assert sum(map(len, served._parked)) < 200 * 100
        client.sock.reads.set()
        for number in range(200):
            assert packet(channel)[:5] == bytes([103]) + uint32(number)


def test_what_comes_in_tiny_pieces_waits_as_what_it_is(tmp_path: Path) -> None:
    count = 3000
    with connected(tmp_path) as (server, client):
        client._sanitize_window_size = lambda size: size
        channel = subsystem(client, window_size=1)  # the answer to INIT does not fit: all else waits
        channel.sendall(INIT)
        requests = b"".join(frame(16, uint32(number), string(b"/")) for number in range(count // 14))
        for at in range(len(requests)):
            channel.sendall(requests[at : at + 1])
            message = paramiko.Message()
            message.add_byte(cMSG_CHANNEL_DATA)
            message.add_int(channel.remote_chanid)
            message.add_string(b"")
            client._send_user_message(message)
        waiting = server.channels[0]._parked
        until(lambda: sum(map(len, waiting)) == len(requests))
        assert len(waiting) == 1
        packet(channel)
        for number in range(count // 14):
            assert packet(channel)[:5] == bytes([104]) + uint32(number)


def test_more_than_the_window_ends_the_connection(tmp_path: Path) -> None:
    with connected(tmp_path) as (server, client):
        channel = subsystem(client)
        channel.sendall(INIT)
        packet(channel)
        monitor_gone = server.channels[0]
        monitor_gone._in_window = 10
        channel.sendall(frame(16, uint32(1), string(b"/")))
        until(lambda: not client.is_active())


def test_keys_that_change_all_the_time_end_the_connection(tmp_path: Path) -> None:
    with connected(tmp_path) as (server, client):
        with contextlib.suppress(paramiko.SSHException, EOFError):
            for _ in range(40):
                client.renegotiate_keys()
        until(lambda: not server.thread.is_alive())
        assert "all the time" in str(server.transport.get_exception())


def test_what_takes_long_keeps_up_no_other_channel_and_ends_when_it_is_to(tmp_path: Path) -> None:
    with connected(tmp_path) as (server, client):
        busy, other = subsystem(client), subsystem(client)
        for channel in (busy, other):
            channel.sendall(INIT)
            packet(channel)
        with (tmp_path / "published/download/f").open("wb") as file:
            file.truncate(1024 * MIB)
        fields = string(b"/download/f") + string(b"md5") + uint64(0) + uint64(0) + uint32(0)
        busy.sendall(frame(200, uint32(1), string(b"check-file-name"), fields))
        busy.sendall(frame(16, uint32(2), string(b"behind")))
        other.sendall(frame(16, uint32(3), string(b"aside")))
        assert b"/aside" in packet(other)
        client.global_request("keepalive@openssh.com", wait=True)
        assert not busy.recv_ready()

        def end() -> None:
            raise EOFError

        server.transport.wire.watch = end
        assert busy.recv(1) == b""


def test_what_waits_behind_a_long_answer_is_answered_after_it(tmp_path: Path) -> None:
    content = os.urandom(9 * MIB)
    with connected(tmp_path) as (_, client):
        channel = subsystem(client)
        channel.sendall(INIT)
        packet(channel)
        (tmp_path / "published/download/f").write_bytes(content)
        source, target = (
            opened(channel, b"/download/f", uint32(OpenFlag.READ)),
            opened(channel, b"/upload/f", WRITING),
        )
        copy = string(b"copy-data") + string(source) + uint64(0) + uint64(0) + string(target) + uint64(0)
        fields = string(b"/download/f") + string(b"md5") + uint64(0) + uint64(0) + uint32(MIB)
        requests = [
            frame(200, uint32(1), copy),
            frame(200, uint32(2), string(b"check-file-name"), fields),
            frame(4, uint32(3), string(target)),
        ]
        channel.sendall(b"".join(requests))
        replies = [packet(channel) for _ in requests]
        assert [reply[:5] for reply in replies] == [b"\x65\0\0\0\1", b"\xc9\0\0\0\2", b"\x65\0\0\0\3"]
        blocks = [hashlib.md5(content[at : at + MIB]).digest() for at in range(0, len(content), MIB)]
        assert replies[1].endswith(b"".join(blocks))
    assert (tmp_path / "published/upload/f").read_bytes() == content
