"""A remote that has no room is not a remote that is down: what else is done there goes on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon import Daemon, eventually
from traffic_scene import inbound, states, with_sftpd

_LARGE = 300_000


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "partner")
    made.configure_link("link", 'storage = "200 KiB"')
    with made:
        yield made


@pytest.fixture
def ours(tmp_path: Path, partner: Daemon) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "ours")
    with_sftpd(made, partner)
    pull = inbound(Path("/download"), '"delete"')
    made.link_config.write_text(
        made.link_config.read_text().replace("[[route]]", f"[[route]]\n{pull}\n[[route]]", 1)
    )
    with made:
        yield made


def remote(daemon: Daemon) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(daemon.cli("remote", "show", "partner", "--json").stdout)
    return shown


def test_files_that_find_no_room_keep_no_others_waiting_and_arrive_once_there_is_some(
    ours: Daemon, partner: Daemon
) -> None:
    large = {f"large-{number}": os.urandom(_LARGE) for number in range(8)}
    for name, content in large.items():
        (ours.outbound / name).write_bytes(content)
    eventually(lambda: remote(ours)["waiting"], ours)
    (partner.outbound / "theirs").write_bytes(b"theirs")
    eventually((ours.inbound / "theirs").exists, ours)
    (ours.outbound / "small").write_bytes(b"small")
    eventually((partner.inbound / "small").exists, ours)
    eventually(lambda: remote(ours)["waiting"], ours)
    told = remote(ours)
    assert told["state"] == "up"
    assert "limit of 204800 bytes stored here reached" in told["waiting"]["out"]
    assert "remote_takes_nothing" in ours.log
    assert "remote_down" not in ours.log
    listed = json.loads(ours.cli("transfer", "list", "--json").stdout)
    assert {each["path"] for each in listed if "limit of 204800" in (each["reason"] or "")} == set(large)

    partner.configure_link("link", 'storage = "10 MiB"')
    partner.reload()
    eventually(lambda: states(ours)["done"] == len(large) + 2, ours)
    assert {name: (partner.inbound / name).read_bytes() for name in large} == large
    assert remote(ours)["waiting"] == {}
    assert len(list(partner.inbound.iterdir())) == len(large) + 1


def test_a_partner_that_takes_few_sessions_is_used_with_as_many_and_never_suspended(
    ours: Daemon, partner: Daemon
) -> None:
    ours.stop()
    partner.stop()
    partner.configure("server", "max_sessions_per_account = 2")
    partner.configure_link("link", 'storage = "100 MiB"')
    ours.link_config.write_text(
        ours.link_config.read_text().replace('name = "out"\n', 'name = "out"\nconcurrency = 6\n', 1)
    )
    files = {f"file-{number}": os.urandom(2 << 20) for number in range(24)}
    for name, content in files.items():
        (ours.outbound / name).write_bytes(content)
    partner.start()
    (partner.outbound / "theirs").write_bytes(b"theirs")
    ours.start()
    eventually(lambda: states(ours)["done"] == len(files) + 1, ours)
    assert {name: (partner.inbound / name).read_bytes() for name in files} == files
    assert partner.events_of("session.refused")  # else this shows nothing
    assert ours.events_of("remote.suspended") == []
    assert "remote_limits_connections" in ours.log
    assert {each["attempts"] for each in json.loads(ours.cli("transfer", "list", "--json").stdout)} == {0}
