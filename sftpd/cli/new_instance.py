"""Making a complete instance in an empty folder: configuration, keys, and a link `demo`."""

import re
import shlex
import socket
from dataclasses import dataclass
from pathlib import Path

from sftpd.cli.new_key import make_key
from sftpd.config.values import Address
from sftpd.errors import RefusedError, SftpdError
from sftpd.files import durable
from sftpd.files.beneath import Root

GREETING = "CONNECT.txt"
"""The file in a new instance that says how to use it."""

_LINK = "demo"
_FOLDERS = ("inbound", "outbound", "quarantine", "failed", "sent")
_SSH_PORT = 22
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not listened on)

_INSTANCE = """\
# The instance file of sftpd; docs/configuration.md describes every key.

[instance]
name = "demo.local"
time_zone = "Europe/Amsterdam"
state = "state"
links = "links"

[server]
listen = "{address}"
host_keys = ["file:keys/host_ed25519"]

[audit]
key = "file:keys/audit_ed25519"
"""

_LINK_FILE = """\
# The link with one counterparty; docs/configuration.md describes every key.

[link]
name = "demo"
counterparty = "Demo Partner"
personal_data = true
purpose = "Trying out the exchange of files"
legal_basis = "GDPR 6(1)(f), legitimate interest"

[policy]
deny = ["*.exe", "*.dll", "*.bat", "*.cmd", "*.scr", "*.vbs"]
max_size = "10 GiB"

[[account]]
name = "demo"
keys = ["file:keys/demo_partner_ed25519.pub"]

[[route]]
name = "out"
direction = "outbound"
folder = "outbound"
to = "download"
settle = 1.0

[route.policy]
deny = ["*.exe", "*.dll", "*.bat", "*.cmd", "*.scr", "*.vbs"]
max_size = "10 GiB"

[[retention]]
name = "inbound-90-days"
version = 1
folder = "inbound"
period = "P90D"
mandate = "Files for a demonstration are not needed for longer"
"""


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What `sftpd init --json` prints: absolute paths, and how the partner connects."""

    config: str
    host: str
    port: int
    user: str
    identity_file: str
    known_hosts: str
    inbound: str
    outbound: str
    link: str


def create_instance(directory: Path, listen: Address) -> NewInstance:
    """Make an instance durably in `directory` that listens on `listen`; port 0 is replaced by a free one.

    Raises RefusedError if `directory` holds anything, and SftpdError if it cannot be written.
    """
    root = directory.absolute()
    address = listen if listen.port else Address(listen.host, _free_port(listen.host))
    host = _ANY_ADDRESS.get(address.host, address.host)
    try:
        _make_root(root)
        _make_folders(root)
        _make_keys(root / "keys", _known_name(host, address.port))
        _write(root / "sftpd.toml", _INSTANCE.format(address=address))
        _write(root / "links.d" / f"{_LINK}.toml", _LINK_FILE)
    except OSError as error:
        raise SftpdError(f"cannot make the instance: {error.strerror}", where=error.filename) from None
    made = NewInstance(
        config=str(root / "sftpd.toml"),
        host=host,
        port=address.port,
        user=_LINK,
        identity_file=str(root / "keys" / "demo_partner_ed25519"),
        known_hosts=str(root / "keys" / "known_hosts"),
        inbound=str(root / "links" / _LINK / "inbound"),
        outbound=str(root / "links" / _LINK / "outbound"),
        link=_LINK,
    )
    _write(root / GREETING, greeting(made))
    return made


def greeting(made: NewInstance) -> str:
    """How to use the new instance, in a few lines."""
    return (
        f"Connect:                      {sftp_command(made)}\n"
        f"Files from the partner are in {made.inbound}\n"
        f"Files for the partner go into {made.outbound}\n"
    )


def sftp_command(made: NewInstance) -> str:
    """The OpenSSH command by which the demo partner connects, quoted for a shell."""
    known_hosts = made.known_hosts.replace("%", "%%")
    if re.search(r"\s", known_hosts):
        known_hosts = f'"{known_hosts}"'
    options = ["-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={known_hosts}"]
    host = f"[{made.host}]" if ":" in made.host else made.host
    return shlex.join(
        ["sftp", "-i", made.identity_file, *options, "-P", str(made.port), f"{made.user}@{host}"]
    )


def _make_root(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise RefusedError(
            "the folder is not empty",
            reason="NOT_EMPTY",
            where=str(root),
            remedy="name a new or an empty folder",
        )


def _make_folders(root: Path) -> None:
    for name, mode in (("links.d", 0o755), ("keys", 0o700), ("state", 0o700), ("links", 0o755)):
        (root / name).mkdir(mode)
    link = root / "links" / _LINK
    link.mkdir(0o755)
    for name in _FOLDERS:
        (link / name).mkdir(0o750)
    for made in (link, link.parent, root, root.parent):
        with Root.at(made) as folder:
            folder.sync()


def _make_keys(folder: Path, known_name: str) -> None:
    make_key(folder / "audit_ed25519")
    host_key = make_key(folder / "host_ed25519")
    partner_key = make_key(folder / "demo_partner_ed25519")
    _write(folder / "demo_partner_ed25519.pub", f"{partner_key} demo partner\n")
    _write(folder / "known_hosts", f"{known_name} {host_key}\n")


def _write(path: Path, text: str) -> None:
    durable.write_file(path, text.encode(), 0o644)


def _known_name(host: str, port: int) -> str:
    """The host as `known_hosts` names it."""
    return host if port == _SSH_PORT else f"[{host}]:{port}"


def _free_port(host: str) -> int:
    """A TCP port of `host` that nobody listens on now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.bind((host, 0))
        except OSError as error:
            raise SftpdError(f"cannot listen on {host}: {error.strerror}") from None
        port: int = listener.getsockname()[1]
        return port
