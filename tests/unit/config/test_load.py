import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from argon2.low_level import Type

from sftpd.cli.new_instance import create_instance
from sftpd.config.address import Address
from sftpd.config.load import Config, load
from sftpd.errors import ConfigError

REMOTE = """
[[remote]]
name = "partner"
host = "127.0.0.1"
user = "us"
key = "file:keys/demo_partner_ed25519"
host_keys = ["file:keys/demo_partner_ed25519.pub"]
"""

PULL = """
[[route]]
name = "in"
direction = "inbound"
from = "remote:partner"
every = "*/5 * * * *"
then = { move = "done" }
"""


def cases(name: str) -> list[dict[str, str]]:
    """The cases of a file beside this one: in what is changed, to what, and the fault it must give."""
    found: list[dict[str, str]] = tomllib.loads(Path(__file__).with_name(name).read_text())["case"]
    return found


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pristine") / "instance"
    create_instance(root, Address("127.0.0.1", 2222))
    return root


@pytest.fixture
def root(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "instance")


def faults(root: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(root / "sftpd.toml")
    return caught.value.faults


def change(path: Path, old: str, new: str) -> int:
    """Replace `old`, which stands once in the file, and return the line of the change."""
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


def loaded(root: Path, extra: str = "") -> Config:
    with (root / "links.d" / "demo.toml").open("a") as file:
        file.write(extra)
    return load(root / "sftpd.toml")


def test_a_ledger_in_a_file_lies_beside_the_configuration(root: Path) -> None:
    change(root / "sftpd.toml", 'links = "links"', 'ledger = "sqlite:///state/own.db"')
    assert load(root / "sftpd.toml").instance.about.ledger == f"sqlite:///{root}/state/own.db"


def test_a_control_socket_has_a_path_that_the_kernel_takes(root: Path) -> None:
    line = change(root / "sftpd.toml", 'state = "state"', f'state = "{"s" * 100}"')
    (fault,) = faults(root)
    assert fault.startswith(f"sftpd.toml:{line}: instance.state: control socket {root}/sss")


def test_a_new_instance_loads(root: Path) -> None:
    config = loaded(root)
    (link,) = config.links
    assert (config.root, config.instance.about.state) == (root, root / "state")
    assert config.instance.server.listen == (Address("127.0.0.1", 2222),)
    assert config.instance.control_socket == root / "state" / "control.sock"
    assert [(route.name, route.remote) for route in link.outbound] == [("out", None)]
    assert str(config.zone(link)) == "Europe/Amsterdam"
    assert link.accounts[0].keys[0].algorithm == "ssh-ed25519"


def test_remotes_and_pulls_are_read(root: Path) -> None:
    (link,) = loaded(root, REMOTE + PULL).links
    (pull,) = link.inbound
    assert (pull.remote, str(pull.every.cron), pull.then.action, pull.then.folder) == (
        "partner",
        "*/5 * * * *",
        "move",
        "done",
    )


def test_the_digest_changes_with_any_source(root: Path) -> None:
    digest = loaded(root).digest
    assert loaded(root).digest == digest
    assert loaded(root, "# a comment\n").digest != digest


@pytest.mark.parametrize("case", cases("instance_faults.toml"), ids=lambda case: case["new"])
def test_a_fault_of_the_instance_is_one_line(root: Path, case: dict[str, str]) -> None:
    (root / "sftpd.toml").chmod(0o644)
    change(root / "sftpd.toml", case["old"], case["new"])
    (line,) = faults(root)
    place, _, text = line.partition(": ")
    assert text == case["fault"].replace("ROOT", str(root))
    assert place.startswith("sftpd.toml:")
    assert "canary" not in line


@pytest.mark.parametrize("case", cases("link_faults.toml"), ids=lambda case: case["new"])
def test_a_fault_of_a_link_is_one_line(root: Path, case: dict[str, str]) -> None:
    change(root / "links.d" / "demo.toml", case["old"], case["new"])
    (line,) = faults(root)
    place, _, text = line.partition(": ")
    assert text == case["fault"].replace("ROOT", str(root))
    assert place.startswith("links.d/demo.toml:")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[[route]]", 'password = "canary"\n[[route]]'),
        ("[[route]]", 'pasword = "canary"\n[[route]]'),
        ('keys = ["file:keys/demo_partner_ed25519.pub"]', 'password = ["canary"]'),
        ("[[account]]", '[account]\npassword = "canary"'),
        ("[[account]]", 'canary = 1\naccount = "canary"\n[[account]]'),
    ],
)
def test_no_fault_repeats_a_secret_that_stands_in_the_file(root: Path, old: str, new: str) -> None:
    change(root / "links.d" / "demo.toml", old, new)
    assert '"canary"' not in "".join(faults(root)).replace('key "canary"', "")


def test_faults_of_all_files_come_together_with_their_lines(root: Path) -> None:
    zone = change(root / "sftpd.toml", 'time_zone = "Europe/Amsterdam"', "time_zone = 5")
    settle = change(root / "links.d" / "demo.toml", "settle = 1.0", "settle = -1")
    shutil.copy(root / "links.d" / "demo.toml", root / "links.d" / "third.toml")
    (root / "links.d" / "broken.toml").write_text("[link]\nname = \n")
    (root / "links.d" / "latin.toml").write_bytes(b"[link]\nname = '\xe9'\n")
    assert [line.partition(": ")[0] for line in faults(root)] == [
        "links.d/broken.toml:2",
        f"links.d/demo.toml:{settle}",
        "links.d/latin.toml:2",
        f"links.d/third.toml:{settle}",
        f"sftpd.toml:{zone}",
    ]


def test_an_account_is_unique_among_links(root: Path) -> None:
    other = root / "links.d" / "other.toml"
    shutil.copy(root / "links.d" / "demo.toml", other)
    change(other, 'name = "demo"\ncounterparty', 'name = "other"\ncounterparty')
    (line,) = faults(root)
    assert line.startswith("links.d/other.toml:15: account[0].name: ")
    assert line.endswith('found "demo", which is already account[0] in links.d/demo.toml')


def test_files_that_are_absent_are_named(root: Path) -> None:
    remedy = "name the instance by --config or $SFTPD_CONFIG, or make one with sftpd init"
    assert faults(root / "nowhere") == [
        f"{root}/nowhere/sftpd.toml: cannot read the file: No such file or directory; {remedy}",
    ]
    (root / "links.d" / "demo.toml").rename(root / "links.d" / "demo.toml.off")
    assert faults(root) == ["links.d: no link, allowed: one file NAME.toml for each"]


def test_a_syntax_fault_at_the_end_has_the_last_line(root: Path) -> None:
    (root / "links.d" / "demo.toml").write_text("[link]\nname = [1,\n")
    (line,) = faults(root)
    assert line.startswith("links.d/demo.toml:3: not TOML: ")


def test_secrets_that_only_the_service_has_are_left_for_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    change(root / "sftpd.toml", "file:keys/host_ed25519", "credential:host-key")
    assert len(loaded(root).links) == 1
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(root))
    assert faults(root) == [
        f"sftpd.toml:11: server.host_keys[0]: cannot read {root}/host-key: No such file or directory"
    ]


def test_a_password_must_be_an_argon2id_hash(root: Path) -> None:
    path = root / "keys" / "hash"
    path.touch(0o600)
    change(root / "links.d" / "demo.toml", "[[route]]", 'password = "file:keys/hash"\n[[route]]')
    path.write_text(PasswordHasher(type=Type.I, memory_cost=8, time_cost=1, parallelism=1).hash("x"))
    assert "found another kind of Argon2" in faults(root)[0]
    path.write_text(PasswordHasher(memory_cost=8, time_cost=1, parallelism=1).hash("x") + "\n")
    assert loaded(root).links[0].accounts[0].password is not None


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (
            ["-t", "ed25519", "-N", "passphrase"],
            "found a key with a passphrase, allowed: an OpenSSH private key without one",
        ),
        (["-t", "rsa", "-b", "1024", "-N", ""], "found an RSA key of 1024 bits, allowed: 2048 bits or more"),
        (["-t", "ecdsa", "-N", ""], "found a key of another kind, allowed: Ed25519"),
    ],
)
def test_the_audit_key_must_be_a_plain_ed25519_key(root: Path, options: list[str], fault: str) -> None:
    path = root / "keys" / "other"
    subprocess.run(["ssh-keygen", "-q", *options, "-f", path], check=True)
    change(root / "sftpd.toml", "file:keys/audit_ed25519", "file:keys/other")
    assert faults(root) == [f"sftpd.toml:14: audit.key: {fault}"]


def test_a_link_is_one_whatever_the_case_of_its_ending(root: Path) -> None:
    (root / "links.d" / "demo.toml").rename(root / "links.d" / "demo.TOML")
    assert [link.name for link in load(root / "sftpd.toml").links] == ["demo"]
