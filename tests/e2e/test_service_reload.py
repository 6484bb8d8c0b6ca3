"""SIGHUP: what a new configuration brings and takes, and how a bad one is refused."""

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from daemon import PATIENCE, Daemon, eventually
from paramiko import AuthenticationException, PKey, SFTPClient, SSHException, Transport
from sshd import free_port, make_key

GAUGE = "sftpd_reload_refused"


def test_a_reload_brings_accounts_links_and_rules_and_leaves_sessions_alone(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        with client.open("/upload/slow", "wb") as upload:
            upload.write(b"before, ")
            upload.flush()
            key = new_key(daemon, "second")
            daemon.add_account("second", f'keys = ["file:{key}.pub"]')
            add_link(daemon, "other", key)
            daemon.configure_link("[retention]", "version = 2", 'period = "P1Y"')
            daemon.reload()
            upload.write(b"after")
        assert (daemon.inbound / "slow").read_bytes() == b"before, after"
        daemon.sftp_done("ls /upload", user="second", key=key)
        client.listdir("/upload")
        assert "P1Y" in daemon.cli("retention", "plan", "--json").stdout
        drop(daemon.root / "links/other/outbound", "news")
        eventually(lambda: "news" in daemon.sftp_done("ls /download", user="other", key=key), daemon)
        assert daemon.cli("audit", "verify").returncode == 0
        (daemon.root / "links.d/other.toml").unlink()
        daemon.reload()
        status = json.loads(daemon.cli("status", "--json").stdout)
        assert status["links_gone"] == {"other": {"files": 1, "transfers": 0, "requests": 0}}
        assert "link_gone" in daemon.log


def test_sessions_that_are_open_go_by_the_new_rules(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        with client.open("/upload/a.csv", "wb") as fine, client.open("/upload/a.dat", "wb") as denied:
            fine.write(b"before, ")
            denied.write(b"before, ")
            fine.flush()
            daemon.configure_link("policy", 'deny = ["*.dat"]')
            daemon.reload()
            fine.write(b"after")
            denied.write(b"after")
        assert outcome(daemon) == (["a.csv"], 1)
        assert (daemon.inbound / "a.csv").read_bytes() == b"before, after"
        daemon.add_hook("pre-receive", "10-none", "#!/bin/sh\nexit 20\n")
        daemon.reload()
        put(client, "/upload/b.csv", b"x")
        assert outcome(daemon) == (["a.csv"], 2)
        # As where a disk is not mounted: a reload does not take it for a wish.
        (daemon.root / "hooks").rename(daemon.root / "disk")
        (daemon.root / "hooks").mkdir()
        os.kill(daemon.pid, signal.SIGHUP)
        eventually(lambda: "reload_refused" in daemon.log, daemon)
        (daemon.root / "hooks").rmdir()
        (daemon.root / "disk").rename(daemon.root / "hooks")
        (daemon.root / "hooks/pre-receive.d/10-none").unlink()
        daemon.configure_link("link", 'storage = "100 B"')
        daemon.reload()
        put(client, "/upload/c.csv", b"x" * 50)
        put(client, "/upload/d.csv", b"x" * 50)
        assert outcome(daemon) == (["a.csv", "c.csv"], 2)
        assert len(daemon.events_of("limit.reached")) == 1
        daemon.stop()


def test_what_was_granted_before_a_reload_counts_after_it(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    daemon.configure_link("link", 'storage = "100 KiB"')
    with daemon, daemon.sftp() as client:
        with client.open("/upload/large", "wb") as upload:
            upload.write(b"x" * 60_000)
            upload.flush()
            daemon.configure_link("policy", 'deny = ["*.dat"]')
            daemon.reload()
            put(client, "/upload/second", b"x" * 60_000)
            assert outcome(daemon) == ([], 0)
        assert outcome(daemon) == (["large"], 0)
        daemon.stop()


def test_an_account_that_is_taken_out_loses_its_session(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    key = new_key(daemon, "second")
    before = daemon.link_config.read_text()
    daemon.add_account("second", f'keys = ["file:{key}.pub"]')
    with daemon, daemon.sftp() as stays, daemon.sftp("second", key_filename=str(key)) as goes:
        goes.listdir("/upload")
        daemon.link_config.write_text(before)
        daemon.reload()
        with pytest.raises((OSError, EOFError, SSHException)):
            goes.listdir("/upload")
        stays.listdir("/upload")
        assert daemon.sftp_batch("ls /", user="second", key=key).returncode != 0
        daemon.stop()


def test_who_has_connected_logs_in_to_what_the_reload_has_left(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    before = daemon.link_config.read_text()
    daemon.add_account("second", f'keys = ["file:{daemon.key}.pub"]')
    with daemon, connected(daemon) as late, connected(daemon) as early:
        daemon.link_config.write_text(before)
        daemon.add_account("third", f'keys = ["file:{daemon.key}.pub"]')
        daemon.reload()
        key = PKey.from_path(daemon.key)
        with pytest.raises(AuthenticationException):
            late.auth_publickey("second", key)
        early.auth_publickey("third", key)
        assert early.is_authenticated()


def test_an_account_whose_permissions_change_must_log_in_again(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        client.listdir("/upload")
        daemon.configure_link("[account]", 'permissions = ["list"]')
        daemon.reload()
        with pytest.raises((OSError, EOFError, SSHException)):
            client.listdir("/upload")
        daemon.file("report", b"x")
        assert daemon.sftp_batch("put report /upload/report").returncode != 0
        daemon.sftp_done("ls /upload")


def test_a_bad_configuration_changes_nothing_and_each_fault_is_logged(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        daemon.configure("server", "max_sesions = 3", 'login_grace = "soon"')
        daemon.configure_link("[account]", 'keys = ["file:keys/missing.pub"]')
        os.kill(daemon.pid, signal.SIGHUP)
        eventually(lambda: daemon.log.count("reload_refused") == 3, daemon)
        for told in ("sftpd.toml", "max_sesions", "max_sessions", "login_grace", "missing.pub"):
            assert told in daemon.log
        client.listdir("/upload")
        daemon.sftp_done("ls /upload")
        assert daemon.events_of("daemon.reloaded", log="system") == []


def test_a_daemon_is_asked_whatever_the_files_of_links_say_by_now(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon:
        daemon.link_config.write_text(daemon.link_config.read_text().replace("folder", "foldr"))
        assert daemon.cli("check").returncode == 2
        assert daemon.cli("status").returncode == 0
        assert daemon.cli("link", "suspend", "demo", "--reason", "incident", "--by", "Ina").returncode == 0
        daemon.stop()
        refused = daemon.cli("link", "list")
        assert refused.returncode == 2
        assert "foldr" in refused.stderr


def test_a_configuration_that_cannot_be_put_into_force_changes_nothing(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon, daemon.sftp() as client:
        key = new_key(daemon, "second")
        add_link(daemon, "other", key)
        (daemon.root / "links/other").write_text("where the folder of the link should be")
        os.kill(daemon.pid, signal.SIGHUP)
        eventually(lambda: "reload_refused" in daemon.log, daemon)
        client.listdir("/upload")
        assert daemon.sftp_batch("ls /", user="other", key=key).returncode != 0
        (daemon.root / "links/other").unlink()
        daemon.reload()
        daemon.sftp_done("ls /upload", user="other", key=key)
        daemon.stop()


def test_what_needs_a_restart_is_refused_by_name(tmp_path: Path) -> None:
    with Daemon(tmp_path / "instance") as daemon:
        daemon.configure("server", "max_sessions = 3")
        daemon.configure("log", 'level = "debug"')
        daemon.configure("instance", 'ledger_password = "env:PATH"')
        os.kill(daemon.pid, signal.SIGHUP)
        eventually(lambda: "reload_refused" in daemon.log, daemon)
        line = next(line for line in daemon.log.splitlines() if "reload_refused" in line)
        assert "instance.ledger_password, server, log changed" in line
        assert "restart" in line
        daemon.sftp_done("ls /upload")
        daemon.stop()


def test_a_reload_that_was_refused_is_told_until_one_succeeds(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "instance")
    metrics = f"127.0.0.1:{free_port()}"
    daemon.configure("metrics", f'listen = "{metrics}"')

    def gauge() -> str:
        with urllib.request.urlopen(f"http://{metrics}/metrics") as answer:
            return next(line for line in answer.read().decode().splitlines() if line.startswith(GAUGE))

    def told() -> list[str]:
        faults: list[str] = json.loads(daemon.cli("status", "--json").stdout)["reload_refused"]
        return faults

    with daemon:
        assert (told(), gauge()) == ([], f"{GAUGE} 0.0")
        good = daemon.config.read_text()
        daemon.configure("server", "idle_timeout = 77")
        daemon.configure_link("[account]", "deny = []")
        os.kill(daemon.pid, signal.SIGHUP)
        eventually(lambda: told() == ["server changed; restart the daemon for that"], daemon)
        assert gauge() == f"{GAUGE} 1.0"
        assert told()[0] in daemon.cli("status").stdout
        daemon.config.write_text(f"{good}\nnonsense")
        os.kill(daemon.pid, signal.SIGHUP)
        # The daemon is reached all the same, whatever its configuration is by now.
        eventually(lambda: "not TOML" in told()[0], daemon)
        daemon.config.write_text(good)
        tail = json.loads(daemon.cli("audit", "tail", "--json").stdout)
        refused = [event for event in tail if event["type"] == "daemon.reload_refused"]
        assert [event["public"]["faults"] for event in refused] == [1, 1]
        assert refused[0]["private"] == {"text": "server changed; restart the daemon for that"}
        daemon.reload()
        assert (told(), gauge()) == ([], f"{GAUGE} 0.0")
        daemon.stop()


def test_a_rule_is_not_changed_under_the_version_that_it_was_used_in(tmp_path: Path) -> None:
    told = "rule inbound-90-days version 1 was another rule when it was first used; raise its version to 2"
    with Daemon(tmp_path / "instance") as daemon:
        daemon.sftp_done("ls /upload")
        given = ("retention", "approval", "give", "--link", "demo", "--reason", "authority 7")
        assert daemon.cli(*given).returncode == 0
        daemon.configure_link("[retention]", 'period = "PT1S"')
        checked = daemon.cli("check")
        assert (checked.returncode, checked.stderr) == (2, f"links.d/demo.toml: retention[0]: {told}\n")
        os.kill(daemon.pid, signal.SIGHUP)
        eventually(lambda: "reload_refused" in daemon.log, daemon)
        assert told in daemon.log
        assert "P90D" in daemon.cli("retention", "schedule", "--json").stdout
        daemon.stop()
        planned = daemon.cli("retention", "plan")
        assert (planned.returncode, told in planned.stderr) == (2, True)
        daemon.configure_link("[retention]", "version = 2")
        assert daemon.cli("check").returncode == 0
        daemon.start()
        assert daemon.cli("check").returncode == 0
        daemon.stop()


def put(client: SFTPClient, path: str, content: bytes) -> None:
    """An upload of which only `outcome` tells what became of it: it may be refused at any step."""
    with suppress(OSError), client.open(path, "wb") as upload:
        upload.write(content)


def outcome(daemon: Daemon) -> tuple[list[str], int]:
    """The names of what was published, and how much was held back."""
    return sorted(path.name for path in daemon.inbound.iterdir()), len(list(daemon.quarantine.iterdir()))


@contextmanager
def connected(daemon: Daemon) -> Iterator[Transport]:
    """A connection that has exchanged keys, and nobody has logged in."""
    with closing(Transport((daemon.host, daemon.port))) as transport:
        transport.start_client(timeout=PATIENCE)
        yield transport


def new_key(daemon: Daemon, name: str) -> Path:
    """A key pair in the instance's folder of keys."""
    path = daemon.root / "keys" / name
    make_key(path, "ed25519")
    return path


def add_link(daemon: Daemon, name: str, key: Path) -> None:
    """A second link like the demo one, with one account of the same name."""
    text = daemon.link_config.read_text().partition("[[retention]]")[0]
    text = text.partition('\n[[account]]\nname = "second"')[0]
    text = text.replace('name = "demo"', f'name = "{name}"')
    text = text.replace("file:keys/demo_partner_ed25519.pub", f"file:{key}.pub")
    (daemon.root / "links.d" / f"{name}.toml").write_text(text)


def drop(folder: Path, name: str) -> None:
    """A file put into a watched folder whole."""
    folder.with_name("scratch").write_bytes(b"fresh")
    folder.with_name("scratch").rename(folder / name)
