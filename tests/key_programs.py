"""Programs that wrap keys, for tests: one that does so in a few lines, and a token of SoftHSM's."""

import os
import subprocess
import sys
from pathlib import Path

from sftpd.config.secret import Secret
from sftpd.config.vault_model import KeyProgram

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "5678"
PKCS11_KEY = Path(sys.executable).with_name("sftpd-pkcs11-key")

_FIRST_LINE = "#!/usr/bin/env -S python3 -I -S\n"
_TINY = """
import base64, hashlib, hmac, json, os, sys

def pad(name, nonce):
    return hashlib.sha256(name.encode() + nonce).digest()

def mark(*parts):
    return hmac.digest(b"of the device", b"|".join(parts), "sha256")

asked = json.load(sys.stdin)
blob = {name: base64.b64decode(asked[name]) for name in ("key", "wrapped", "context") if name in asked}
if asked["operation"] == "wrap":
    name, nonce = sys.argv[1], os.urandom(16)
    hidden = bytes(a ^ b for a, b in zip(blob["key"], pad(name, nonce)))
    wrapped = nonce + hidden + mark(name.encode(), nonce, hidden, blob["context"])
    print(json.dumps({"wrapped": base64.b64encode(wrapped).decode(), "key_id": name}))
else:
    name, wrapped = asked["key_id"], blob["wrapped"]
    nonce, hidden, seen = wrapped[:16], wrapped[16:48], wrapped[48:]
    if seen != mark(name.encode(), nonce, hidden, blob["context"]):
        sys.exit("not wrapped here")
    key = bytes(a ^ b for a, b in zip(hidden, pad(name, nonce)))
    print(json.dumps({"key": base64.b64encode(key).decode()}))
"""


def script(folder: Path, body: str) -> str:
    """A program of a few lines of Python that stands by itself."""
    path = folder / "key-program"
    path.write_text(_FIRST_LINE + body)
    path.chmod(0o755)
    return str(path)


def tiny(folder: Path, key_id: str = "device/1") -> KeyProgram:
    """A program that keeps its key to itself, and names it."""
    return KeyProgram((script(folder, _TINY), key_id))


class SoftToken:
    """A token of SoftHSM's in a folder, with AES keys by their labels."""

    def __init__(self, folder: Path) -> None:
        self.tokens = folder / "tokens"
        self.tokens.mkdir()
        self._config = folder / "softhsm2.conf"
        self._config.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\n")
        self.pin = folder / "pin"
        self.pin.write_text(PIN + "\n")
        self.pin.chmod(0o600)
        pins = ("--so-pin", "1234", "--pin", PIN)
        init = ("softhsm2-util", "--init-token", "--free", "--label", "vault", *pins)
        subprocess.run(init, env=self._environment, check=True, capture_output=True)

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "SOFTHSM2_CONF": str(self._config)}

    def change(self, code: str) -> None:
        """Do something in a session with the token, in a process of its own."""
        head = f"import pkcs11\ntoken = pkcs11.lib({MODULE!r}).get_token(token_label='vault')\n"
        session = f"with token.open(rw=True, user_pin={PIN!r}) as session:\n    {code}\n"
        subprocess.run([sys.executable, "-c", head + session], env=self._environment, check=True)

    def make_key(self, label: str) -> None:
        self.change(f"session.generate_key(pkcs11.KeyType.AES, 256, store=True, label={label!r})")

    def destroy_key(self, label: str) -> None:
        self.change(f"session.get_key(label={label!r}).destroy()")

    def argv(self, label: str) -> tuple[str, ...]:
        options = ("--module", MODULE, "--token", "vault", "--key", label)
        return ("/usr/bin/env", f"SOFTHSM2_CONF={self._config}", str(PKCS11_KEY), *options)

    def program(self, label: str) -> KeyProgram:
        """The program that we ship, with a key of this token."""
        return KeyProgram(self.argv(label), Secret.parse(f"file:{self.pin}"), (str(self.tokens),))
