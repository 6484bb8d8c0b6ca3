"""What may stand in a link's `[vault]`."""

import base64
from pathlib import Path

import pytest

from sftpd.app.vaults import key_file
from sftpd.cli.new_instance import create_instance
from sftpd.cli.new_key import make_vault_key
from sftpd.config.address import Address
from sftpd.config.keys import vault_key, vault_key_fault
from sftpd.config.load import load
from sftpd.config.secret import Secret
from sftpd.config.vault_model import KeyProgram
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


def test_a_program_may_wrap_in_place_of_a_key(tmp_path: Path) -> None:
    pin = 'secret = "file:keys/vault", write = ["/var/lib/softhsm/tokens"]'
    root = instance(tmp_path, f'key = {{ program = ["/usr/bin/wrap", "--key", "a"], {pin} }}')
    (link,) = load(root / "sftpd.toml").links
    assert link.vault is not None
    secret = Secret.parse("file:keys/vault", root)
    assert link.vault.key == KeyProgram(("/usr/bin/wrap", "--key", "a"), secret, ("/var/lib/softhsm/tokens",))


FORM = '{ program = ["/PATH", ...], secret = "REFERENCE", write = ["/FOLDER", ...] }'
OTHER = f"found a table with other keys, allowed: a reference to a secret, or {FORM}"
NO_SECRET = "not a reference to a secret, allowed: file:PATH, credential:NAME or env:NAME"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("{ program = [] }", f"found a list, allowed: program as in {FORM}"),
        ('{ program = "/bin/true" }', f'found "/bin/true", allowed: program as in {FORM}'),
        ('{ program = ["true"] }', f"found a list, allowed: program as in {FORM}"),
        ('{ program = ["/bin/true", 7] }', f"found a list, allowed: program as in {FORM}"),
        ('{ program = ["/bin/true"], write = "/tmp" }', f'found "/tmp", allowed: write as in {FORM}'),
        ('{ program = ["/bin/true"], write = ["tmp"] }', f"found a list, allowed: write as in {FORM}"),
        ('{ program = ["/bin/true"], secret = "5678" }', NO_SECRET),
        ('{ program = ["/bin/true"], pin = "env:P" }', OTHER),
        ("{}", OTHER),
        ("7", NO_SECRET),
    ],
)
def test_another_table_is_refused_and_no_secret_repeated(tmp_path: Path, key: str, told: str) -> None:
    root = instance(tmp_path, f"key = {key}")
    with pytest.raises(ConfigError) as refused:
        load(root / "sftpd.toml")
    (fault,) = refused.value.faults
    assert fault.endswith(f"vault.key: {told}")
