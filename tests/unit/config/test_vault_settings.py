"""What may stand in a link's `[vault]`."""

import base64
from pathlib import Path

import pytest

from sftpd.app.vaults import key_file
from sftpd.cli.new_instance import create_instance
from sftpd.cli.new_key import make_vault_key
from sftpd.config.keys import vault_key, vault_key_fault
from sftpd.config.load import load
from sftpd.config.values import Address
from sftpd.errors import ConfigError

KEY = bytes(range(32))


def instance(folder: Path, vault: str) -> Path:
    root = folder / "instance"
    create_instance(root, Address("127.0.0.1", 2222))
    make_vault_key(root / "keys/vault")
    with (root / "links.d/demo.toml").open("a") as file:
        file.write(f"\n[vault]\n{vault}\n")
    return root


@pytest.mark.parametrize("text", [base64.b64encode(KEY), base64.b64encode(KEY) + b"\n", KEY.hex().encode()])
def test_a_key_is_base64_or_hexadecimal(text: bytes) -> None:
    assert vault_key_fault(text) is None
    assert vault_key(text) == KEY


@pytest.mark.parametrize("text", [b"", KEY, base64.b64encode(KEY[:-1]), KEY.hex().encode()[:-1], b"x" * 64])
def test_another_key_is_refused_and_not_repeated(text: bytes) -> None:
    told = vault_key_fault(text)
    assert told == "found something else, allowed: 32 random bytes in base64 or hexadecimal"


def test_the_keys_lie_in_the_state_folder_unless_it_is_said_where(tmp_path: Path) -> None:
    root = instance(tmp_path, 'key = "file:keys/vault"')
    config = load(root / "sftpd.toml")
    assert key_file(config, "demo", None) == root / "state/vault-keys/demo.keys"
    assert key_file(config, "demo", tmp_path / "apart") == tmp_path / "apart/demo.keys"


@pytest.mark.parametrize("keys", ["links", "links/demo/keys", "."])
def test_keys_do_not_lie_beside_what_they_open(tmp_path: Path, keys: str) -> None:
    root = instance(tmp_path, f'key = "file:keys/vault"\nkeys = "{keys}"')
    with pytest.raises(ConfigError, match=r"vault\.keys.*lies in the folder of the links or around it"):
        load(root / "sftpd.toml")


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    root = instance(tmp_path, 'key = "file:keys/vault"')
    (root / "keys/vault").chmod(0o644)
    with pytest.raises(ConfigError, match="others than its owner have access"):
        load(root / "sftpd.toml")
