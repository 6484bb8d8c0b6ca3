"""A remote that has no room is not a remote that is down: what else is done there goes on."""

import json
import os
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from daemon import PATIENCE, Daemon, eventually
from prometheus_client.parser import text_string_to_metric_families
from sshd import free_port
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
    made.port_of_metrics = free_port()
    made.configure("metrics", f'listen = "127.0.0.1:{made.port_of_metrics}"')
    with made:
        yield made


def gauge(daemon: Daemon, name: str) -> dict[str, float]:
    """What a metric shows, by the value of its one label."""
    url = f"http://127.0.0.1:{daemon.port_of_metrics}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        families = [*text_string_to_metric_families(answer.read().decode())]
    return {s.labels["route"]: s.value for family in families for s in family.samples if s.name == name}


def remote(daemon: Daemon) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(daemon.cli("remote", "show", "partner", "--json").stdout)
    return shown


def stopped_routes(daemon: Daemon) -> dict[str, dict[str, str]]:
    shown: dict[str, dict[str, str]] = json.loads(daemon.cli("status", "--json").stdout)["routes_stopped"]
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
    told, (stopped,) = remote(ours), stopped_routes(ours).values()
    assert told["state"] == "up"
    assert "limit of 204800 bytes stored here reached" in stopped["reason"]
    assert "ask the partner" in stopped["remedy"]
    assert datetime.fromisoformat(stopped["since"]) < datetime.now(UTC)
    assert gauge(ours, "sftpd_route_stopped") == {"demo/in": 0, "demo/out": 1}
    assert "limit of 204800 bytes stored here reached" in told["waiting"]["out"]
    assert "remote_takes_nothing" in ours.log
    assert "remote_down" not in ours.log
    listed = json.loads(ours.cli("transfer", "list", "--json").stdout)
    assert {each["path"] for each in listed if "limit of 204800" in (each["reason"] or "")} == set(large)

    partner.configure_link("link", 'storage = "10 MiB"')
    partner.reload()
    eventually(lambda: states(ours)["done"] == len(large) + 2, ours)
    assert {name: (partner.inbound / name).read_bytes() for name in large} == large
    assert remote(ours)["waiting"] == stopped_routes(ours) == {}
    assert "remote_takes_again" in ours.log
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
