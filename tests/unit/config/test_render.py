import tomllib
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from sftpd.cli.new_instance import create_instance
from sftpd.config.address import Address
from sftpd.config.link_model import LinkFile
from sftpd.config.load import Config, load
from sftpd.config.model import InstanceFile
from sftpd.config.render import rendered, sample

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("name", sorted(rendered()))
def test_the_committed_file_is_what_the_model_renders(name: str) -> None:
    assert (REPOSITORY / name).read_text() == rendered()[name], "run python -m sftpd.config.render"


def load_samples(root: Path, instance: str, link: str) -> Config:
    """Load two samples with the keys they refer to."""
    create_instance(root, Address("127.0.0.1", 2222))
    keys = root / "keys"
    (keys / "partner_ed25519").symlink_to("demo_partner_ed25519")
    (keys / "revoked").write_text("serial: 7\n")
    public = (keys / "demo_partner_ed25519.pub").read_text()
    (keys / "partner_signers").write_text(f"sftp.partner.example {public}")
    for name in ("partner_orders", "partner_answers"):
        (keys / name).write_text(f"privacy@partner.example {public}")
    (keys / "example.totp").touch(0o600)
    (keys / "example.totp").write_text("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    for name in ("example.pub", "partner_host.pub", "partner_ca.pub"):
        (keys / name).symlink_to("demo_partner_ed25519.pub")
    (keys / "host_next").symlink_to("host_ed25519")
    (keys / "example.argon2id").touch(0o600)
    (keys / "example.argon2id").write_text(
        PasswordHasher(memory_cost=8, time_cost=1, parallelism=1).hash("x")
    )
    (root / "links.d" / "demo.toml").unlink()
    (root / "sftpd.toml").write_text(instance)
    (root / "links.d" / "example.toml").write_text(link)
    return load(root / "sftpd.toml")


def test_the_samples_load(tmp_path: Path) -> None:
    files = rendered()
    config = load_samples(tmp_path / "x", files["etc/sftpd.toml"], files["etc/links.d/example.toml"])
    assert [link.name for link in config.links] == ["example"]


def test_the_samples_load_with_every_key_given(tmp_path: Path) -> None:
    config = load_samples(
        tmp_path / "x", sample(InstanceFile, complete=True), sample(LinkFile, complete=True)
    )
    assert config.links[0].about.terms is not None


def test_keys_commented_out_show_their_defaults(tmp_path: Path) -> None:
    files = rendered()
    usual = load_samples(tmp_path / "x", files["etc/sftpd.toml"], files["etc/links.d/example.toml"])
    given = tomllib.loads(sample(InstanceFile, complete=True))
    assert given["server"]["login_grace"] == usual.instance.server.login_grace
    assert given["scheduler"]["retention_at"] == usual.instance.scheduler.retention_at.isoformat("minutes")
    assert given["server"]["listen"] == [str(address) for address in usual.instance.server.listen]
