"""A vault whose keys a program wraps, on a live daemon: SoftHSM behind the program that we ship."""

import json
from pathlib import Path

import pytest
from daemon import Daemon
from key_programs import SoftToken

RULE = """
[[retention]]
name = "vault"
folder = "vault"
period = "PT0S"
mandate = "Agreement"
"""


@pytest.fixture
def token(tmp_path: Path) -> SoftToken:
    token = SoftToken(tmp_path)
    token.make_key("demo-1")
    return token


@pytest.fixture
def daemon(tmp_path: Path, token: SoftToken) -> Daemon:
    daemon = Daemon(tmp_path / "instance")
    head = daemon.link_config.read_text().partition("[[retention]]")[0]
    daemon.link_config.write_text(f"{head}{RULE}\n[vault]\n")
    wrap_with(daemon, token, "demo-1")
    return daemon


def wrap_with(daemon: Daemon, token: SoftToken, label: str) -> None:
    argv = json.dumps(token.argv(label))
    key = f'{{ program = {argv}, secret = "file:{token.pin}", write = ["{token.tokens}"] }}'
    daemon.configure_link("vault", f"key = {key}")


def get(daemon: Daemon, copy: str, output: Path) -> str:
    done = daemon.cli("vault", "get", copy, "--output", str(output), "--reason", "audit")
    return done.stderr if done.returncode else output.read_text()


def test_a_token_wraps_the_keys_of_a_vault_through_rotation_and_disposal(
    tmp_path: Path, daemon: Daemon, token: SoftToken
) -> None:
    assert daemon.cli("check").returncode == 0
    with daemon:
        daemon.file("local", b"person of interest")
        daemon.sftp_done("put local /upload/in.csv")
        (copy,) = json.loads(daemon.cli("vault", "list", "--json").stdout)
        assert get(daemon, copy["id"], tmp_path / "first") == "person of interest"
        daemon.stop()
        token.make_key("demo-2")
        wrap_with(daemon, token, "demo-2")
        daemon.start()
        assert get(daemon, copy["id"], tmp_path / "second") == "person of interest"
        planned = json.loads(daemon.cli("retention", "plan", "--json").stdout)["plan"]
        assert daemon.cli("retention", "run", "--plan", planned).returncode == 0
        assert json.loads(daemon.cli("vault", "list", "--json").stdout) == []
    kept = (daemon.root / "state/vault-keys/demo.keys").read_bytes()
    assert (b"demo-1" in kept, copy["id"].encode() in kept) == (False, False)


def test_without_its_token_nothing_crosses_and_check_says_why(
    tmp_path: Path, daemon: Daemon, token: SoftToken
) -> None:
    with daemon:
        token.destroy_key("demo-1")
        daemon.file("local", b"person of interest")
        done = daemon.sftp_batch("put local /upload/in.csv")
        assert done.returncode == 1
        assert "NoSuchKey" not in done.stderr
        assert "vault_seal_failed" in daemon.log
        assert "ended with status 1: NoSuchKey" in daemon.log
        assert list(daemon.inbound.iterdir()) == []
    checked = daemon.cli("check", "--json")
    assert checked.returncode == 2
    (fault,) = json.loads(checked.stdout)["faults"]
    assert fault.startswith(
        "links.d/demo.toml: vault.key: key program /usr/bin/env: ended with status 1: NoSuchKey"
    )
