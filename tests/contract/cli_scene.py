"""An instance in use: real files, a real daemon, and the command line asked about it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon import command
from sshd import Sshd
from waiting import until

_PATIENCE = 60.0
_TERMS = f"""
[link.terms]
document = "Terms of the exchange"
version = "2026-01"
sha256 = "{"0" * 64}"
effective = 2020-01-01

[policy]"""
_REMOTES = """
[[remote]]
name = "far"
host = "127.0.0.1"
port = PORT
user = "demo"
key = "file:keys/demo_partner_ed25519"
host_keys = ["HOST_KEY"]
backoff = { base = 0.1, cap = 0.2 }

[[route]]
name = "far"
direction = "outbound"
folder = "far"
to = "remote:far"
remote_path = "/upload"
settle = 0.1

[[retention]]
name = "looked-at"
folder = "inbound"
glob = "*.look"
period = "PT1S"
action = "review"
mandate = "Agreement"
"""


@dataclass(frozen=True)
class Asked:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Scene:
    """An instance whose link `demo` has terms, a retention of one second, and itself as a remote."""

    made: dict[str, Any]

    @property
    def root(self) -> Path:
        return Path(self.made["config"]).parent

    def ask(self, *arguments: str | Path) -> Asked:
        """Run a command in this process."""
        return here(*arguments, "--config", self.made["config"])

    def json(self, *arguments: str | Path) -> Any:
        """The document of a command that succeeds."""
        asked = self.ask(*arguments, "--json")
        assert (asked.code, asked.err) == (0, ""), (arguments, asked)
        return asked.json

    def process(self, *arguments: str | Path) -> Asked:
        """Run a command as a process of its own."""
        return sftpd(*arguments, "--config", self.made["config"])

    def add_pull(self, server: Sshd) -> None:
        """A route that fetches from a real server, when it is asked to."""
        key_type, blob, *_ = server.host_public_key.split()
        with (self.root / "links.d/demo.toml").open("a") as file:
            file.write(f"""
[[remote]]
name = "near"
host = "127.0.0.1"
port = {server.port}
user = "{server.user}"
key = "file:{server.key_path}"
host_keys = ["{key_type} {blob}"]

[[route]]
name = "in"
direction = "inbound"
from = "remote:near"
remote_path = "{server.root}"
every = "0 0 29 2 *"
settle = 0.1

[[expect]]
name = "offers"
from = "in"
glob = "offer*.csv"
by = "00:00"
warn = "P1D"
""")

    def add_vault(self) -> Any:
        """A vault for the link, with a key of its own; returns what making that printed."""
        key = self.root / "keys/vault"
        with (self.root / "links.d/demo.toml").open("a") as file:
            file.write(f'\n[vault]\nkey = "file:{key}"\n')
        return sftpd("vault", "new-key", key, "--json").json

    def add_controller(self) -> None:
        """Have the partner be the controller of the link's personal data, for whom we process it."""
        with (self.root / "links.d/demo.toml").open("a") as file:
            file.write('\n[erasure]\nrole = "processor"\n')

    def upload(self, name: str, content: str) -> None:
        """Put a file as the partner does."""
        local = self.root / name
        local.write_text(content)
        made = self.made
        options = ["-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={made['known_hosts']}"]
        subprocess.run(
            ["sftp", "-q", "-b", "-", "-P", str(made["port"]), "-i", made["identity_file"], *options,
             f"{made['user']}@{made['host']}"],
            input=f"put {local} /upload/{name}\n",
            text=True, check=True, capture_output=True, timeout=_PATIENCE,
        )  # fmt: skip


def here(*arguments: str | Path) -> Asked:
    """Run `sftpd` in this process."""
    ended = command(*map(str, arguments))
    return Asked(ended.returncode, ended.stdout, ended.stderr)


def sftpd(*arguments: str | Path) -> Asked:
    """Run `sftpd` as a process of its own, without an instance in its environment."""
    environment = {name: value for name, value in os.environ.items() if name != "SFTPD_CONFIG"}
    ended = subprocess.run(
        [sys.executable, "-m", "sftpd", *arguments],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE,
    )  # fmt: skip
    return Asked(ended.returncode, ended.stdout, ended.stderr)


@contextlib.contextmanager
def instance() -> Iterator[Scene]:
    """Make the instance, in a folder whose name is short enough for the control socket."""
    folder = Path(tempfile.mkdtemp(prefix="cli-"))
    try:
        scene = Scene(here("init", folder / "i", "--listen", "127.0.0.1:0", "--json").json)
        link = scene.root / "links.d/demo.toml"
        text = link.read_text()
        _, key_type, blob, *_ = Path(scene.made["known_hosts"]).read_text().split()
        remote = _REMOTES.replace("PORT", str(scene.made["port"])).replace("HOST_KEY", f"{key_type} {blob}")
        link.write_text(text.replace("\n[policy]", _TERMS, 1).replace("P90D", "PT1S") + remote)
        yield scene
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def serving(scene: Scene) -> Iterator[None]:
    """Run the daemon on the instance; it must end by itself when told to."""
    with (scene.root / "serve.log").open("ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "sftpd", "serve", "--config", scene.made["config"]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: daemon.poll() is not None or scene.ask("status").code == 0)
        assert daemon.poll() is None, (scene.root / "serve.log").read_text()
        yield
        daemon.terminate()
        assert daemon.wait(_PATIENCE) == 0, (scene.root / "serve.log").read_text()
    finally:
        daemon.kill()
        daemon.wait()
