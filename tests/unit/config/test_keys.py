import subprocess
from pathlib import Path

import pytest

from sftpd.config.keys import parse_public_key


@pytest.mark.parametrize(
    "options", [["-t", "ed25519"], ["-t", "ecdsa", "-b", "384"], ["-t", "rsa", "-b", "2048"]]
)
def test_a_key_of_ssh_keygen_is_read_and_has_its_fingerprint(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", *options, "-N", "", "-C", "a comment", "-f", path], check=True)
    line = path.with_suffix(".pub").read_text()
    key = parse_public_key("# the partner's key\n\n" + line)
    shown = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout
    assert key.fingerprint == shown.split()[1]
    assert f"{key}\n" == line
    assert key.comment == "a comment"


def test_other_keys_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", path], check=True)
    short = path.with_suffix(".pub").read_text()
    for text, reason in (
        (short, "an RSA key of 1024 bits"),
        (short + short, "holds 2 keys"),
        ("", "holds 0 keys"),
        ("ssh-ed25519 !!!!", "no public key"),
        (short.replace("ssh-rsa", "ssh-ed25519"), "no public key"),
    ):
        with pytest.raises(ValueError, match=reason):
            parse_public_key(text)
