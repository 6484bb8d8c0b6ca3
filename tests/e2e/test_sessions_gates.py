"""Gate hooks before a real client: what they do not accept is not published, and the client is told."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest
from daemon import Daemon, eventually

SHELL = "#!/bin/sh\n"
BLOCKED, RECEIVED = "transfer.blocked", "transfer.received"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("gates") / "instance")
    made.configure("screening", "deadline = 2", "acknowledge_within = 1")
    made.configure("instance", 'hooks = "hooks"')
    (made.root / "hooks/pre-receive.d").mkdir(parents=True)
    made.file("local", b"local")
    with made as running:
        yield running


@pytest.fixture
def daemon(served: Daemon) -> Iterator[Daemon]:
    """The daemon without hooks and with empty folders: both are looked at anew for each file."""
    yield served
    hooks = served.root / "hooks/pre-receive.d"
    for path in (*hooks.iterdir(), *served.quarantine.iterdir(), *served.inbound.iterdir()):
        path.unlink()


def add_hook(daemon: Daemon, script: str, *, name: str = "50-gate", mode: int = 0o755) -> None:
    path = daemon.root / "hooks/pre-receive.d" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(mode)


def count(daemon: Daemon) -> int:
    return len(daemon.events_of(BLOCKED, RECEIVED))


def decided(daemon: Daemon, before: int) -> list[dict[str, Any]]:
    """The one event on a file, when a file after it has its own too."""
    eventually(lambda: count(daemon) > before, daemon)
    for path in (daemon.root / "hooks/pre-receive.d").iterdir():
        path.unlink()
    daemon.sftp_done("put local /upload/after")
    eventually(lambda: daemon.events_of(BLOCKED, RECEIVED)[-1]["type"] == RECEIVED, daemon)
    return daemon.events_of(BLOCKED, RECEIVED)[before:-1]


def assert_blocked_once(daemon: Daemon, before: int, verdict: str) -> None:
    eventually(lambda: [path.read_bytes() for path in daemon.quarantine.iterdir()] == [b"local"], daemon)
    assert not list(daemon.inbound.iterdir())
    (event,) = decided(daemon, before)
    assert (event["type"], event["data"]["verdict"]) == (BLOCKED, verdict)


def test_a_rejected_file_is_a_failure_with_the_reason(daemon: Daemon) -> None:
    before = count(daemon)
    add_hook(daemon, f"{SHELL}echo 'contains a virus: Eicar'\nexit 20\n")
    done = daemon.sftp_batch("put local /upload/bad")
    assert done.returncode == 1
    assert "sftpd: contains a virus: Eicar" in done.stderr
    assert_blocked_once(daemon, before, "reject")


def test_a_rename_to_the_final_name_is_screened_too(daemon: Daemon) -> None:
    before = count(daemon)
    add_hook(daemon, f"{SHELL}echo 'not this one'\nexit 20\n")
    done = daemon.sftp_batch("put local /upload/f.part", "rename /upload/f.part /upload/f")
    assert done.returncode == 1
    assert "sftpd: not this one" in done.stderr
    assert_blocked_once(daemon, before, "reject")


def test_a_quarantined_file_is_taken_and_held_back(daemon: Daemon) -> None:
    before = count(daemon)
    add_hook(daemon, f"{SHELL}echo 'to be looked at'\nexit 10\n")
    daemon.sftp_done("put local /upload/held")
    assert_blocked_once(daemon, before, "quarantine")


@pytest.mark.parametrize(
    ("script", "mode"),
    [
        (f"{SHELL}exit 0\n", 0o644),
        (f"{SHELL}kill -SEGV $$\n", 0o755),
        (f"{SHELL}exit 3\n", 0o755),
        ("#!/no/such/interpreter\n", 0o755),
        ("no program at all", 0o755),
        (f"{SHELL}exec sleep 1000\n", 0o755),
    ],
    ids=["not executable", "crashing", "unknown status", "no interpreter", "no program", "hanging"],
)
def test_a_hook_that_gives_no_verdict_lets_nothing_through(daemon: Daemon, script: str, mode: int) -> None:
    before = count(daemon)
    add_hook(daemon, f"{SHELL}exit 0\n", name="10-first")
    add_hook(daemon, script, mode=mode)
    daemon.sftp_done("put local /upload/file")
    assert_blocked_once(daemon, before, "quarantine")


def test_a_slow_hook_publishes_after_the_acknowledgement(daemon: Daemon) -> None:
    before = count(daemon)
    add_hook(daemon, f"{SHELL}sleep 1.3\nexit 0\n")
    daemon.sftp_done("put local /upload/slow")
    eventually((daemon.inbound / "slow").exists, daemon)
    assert (daemon.inbound / "slow").read_bytes() == b"local"
    (event,) = decided(daemon, before)
    assert event["type"] == RECEIVED


def test_a_folder_of_hooks_that_is_not_there_opens_no_gate(tmp_path: Path) -> None:
    made = Daemon(tmp_path / "instance")
    made.configure("instance", 'hooks = "hoocks"')
    made.file("local", b"local")
    checked = made.cli("check")
    assert (checked.returncode, checked.stderr.count("\n")) == (2, 1)
    for told in (f"{made.root / 'hoocks'}: no folder of hooks", "instance.hooks"):
        assert told in checked.stderr
        with pytest.raises(RuntimeError, match=told):
            made.start()
    (made.root / "hoocks").mkdir()
    assert made.cli("check").returncode == 0
    with made:
        made.sftp_done("put local /upload/before")
        (made.root / "hoocks").rename(made.root / "not mounted")
        made.sftp_done("put local /upload/without")
        assert [path.name for path in made.inbound.iterdir()] == ["before"]
        assert [path.read_bytes() for path in made.quarantine.iterdir()] == [b"local"]


def test_an_operator_releases_what_a_gate_held_back_and_its_receipt_says_so(daemon: Daemon) -> None:
    before = count(daemon)
    add_hook(daemon, f"{SHELL}echo 'to be looked at'\nexit 10\n")
    daemon.sftp_done("put local /upload/held")
    eventually(lambda: count(daemon) > before, daemon)
    (held,) = json.loads(daemon.cli("transfer", "list", "--state", "quarantined", "--json").stdout)[-1:]
    why = ("--reason", "no virus", "--by", "Ina", "--json")
    refused = daemon.cli("transfer", "retry", held["id"], *why)
    assert "inbound and quarantined cannot retry" in refused.stderr
    released = json.loads(daemon.cli("transfer", "release", held["id"], *why).stdout)
    assert (released["state"], released["reason"]) == ("done", "released by Ina: no virus")
    assert (daemon.inbound / "held").read_bytes() == b"local"
    assert not list(daemon.quarantine.iterdir())
    shown = ("transfer", "receipt", held["id"], "--verify", "--json")
    eventually(lambda: len(json.loads(daemon.cli(*shown).stdout or "[]")) == 2, daemon)
    verdicts = [json.loads(each["content"]) for each in json.loads(daemon.cli(*shown).stdout)]
    assert [(one["verdict"], one.get("released")) for one in verdicts] == [
        ("quarantine", None),
        ("accept", "by_operator"),
    ]
    again = daemon.cli("transfer", "release", held["id"], *why)
    assert (again.returncode, "inbound and done cannot release" in again.stderr) == (1, True)


def test_check_names_each_hook_that_cannot_run(tmp_path: Path) -> None:
    made = Daemon(tmp_path / "instance")
    made.add_hook("pre-receive", "10-first", SHELL, mode=0o644)
    made.add_hook("pre-recieve", "10-gate", SHELL)
    checked = made.cli("check")
    assert checked.returncode == 2
    assert [line.split(":")[0].removeprefix(f"{made.root}/") for line in checked.stderr.splitlines()] == [
        "hooks/pre-receive.d/10-first",
        "hooks/pre-recieve.d",
    ]


def test_a_gate_that_takes_long_is_waited_for_on_its_own_channel_alone(tmp_path: Path) -> None:
    made = Daemon(tmp_path / "instance")
    made.configure("screening", "deadline = 60", "acknowledge_within = 60")
    made.configure("instance", 'hooks = "hooks"')
    add_hook(made, f'{SHELL}until [ -e "${{0%/*}}/../go" ]; do sleep 0.05; done\n')
    with made as daemon, daemon.connected() as transport:
        waiting, other = (paramiko.SFTPClient.from_transport(transport) for _ in range(2))
        assert waiting is not None
        assert other is not None
        file = waiting.open("/upload/slow", "wb")
        file.write(b"slow")
        with ThreadPoolExecutor(1) as pool:
            closing = pool.submit(file.close)
            eventually(lambda: any(map(_runs_gate, Path("/proc").glob("[0-9]*/cmdline"))), daemon)
            assert other.listdir("/") != []
            transport.global_request("keepalive@openssh.com", wait=True)
            assert not closing.done()
            (daemon.root / "hooks/go").touch()
            closing.result()
        assert (daemon.inbound / "slow").read_bytes() == b"slow"


def _runs_gate(command: Path) -> bool:
    try:
        return b"50-gate" in command.read_bytes()
    except OSError:
        return False
