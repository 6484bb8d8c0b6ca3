"""Making an instance in an empty folder: one to try, with a link `demo`, or one for the service."""

import re
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sftpd.cli.new_key import make_key
from sftpd.config.address import Address
from sftpd.errors import RefusedError, SftpdError
from sftpd.files import durable
from sftpd.files.beneath import Root

GREETING = "CONNECT.txt"
"""The file in a new instance that says how to use it."""

DEMO_NAME = "demo.local"
"""What an instance is called that is made to try."""

_LINK = "demo"
_FOLDERS = ("inbound", "outbound", "quarantine", "failed", "sent")
_SSH_PORT = 22
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not listened on)

_INSTANCE = """\
# The instance file of sftpd; docs/configuration.md describes every key.

[instance]
name = "{name}"
time_zone = "Europe/Amsterdam"
state = "{data}state"
links = "{data}links"

[server]
listen = "{address}"
host_keys = ["{keys}host_ed25519"]

[audit]
key = "{keys}audit_ed25519"
"""
_HERE = {"data": "", "keys": "file:keys/"}
_IN_THE_UNIT = {"data": "/var/lib/sftpd/", "keys": "credential:"}
"""What systemd/sftpd.service gives: a state directory, and the keys as credentials."""

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


@dataclass(frozen=True, slots=True)
class NewService:
    """What `sftpd init --service --json` prints: absolute paths, the address, and the public host key."""

    config: str
    links: str
    name: str
    host: str
    port: int
    host_key: str


def create_instance(directory: Path, listen: Address, name: str = DEMO_NAME) -> NewInstance:
    """Make an instance durably in `directory` that listens on `listen`; port 0 is replaced by a free one.

    Raises RefusedError if `directory` holds anything, and SftpdError if it cannot be written.
    """
    root, address = directory.absolute(), _with_port(listen)
    host = _ANY_ADDRESS.get(address.host, address.host)
    with _told_where():
        _make_root(root)
        _make_folders(root, ("state", 0o700), ("links", 0o755))
        _make_link(root / "links" / _LINK)
        partner_key = make_key(root / "keys" / "demo_partner_ed25519")
        _write(root / "keys" / "demo_partner_ed25519.pub", f"{partner_key} demo partner\n")
        host_key = _make_keys(root / "keys")
        _write(root / "keys" / "known_hosts", f"{_known_name(host, address.port)} {host_key}\n")
        _write(root / "sftpd.toml", _INSTANCE.format(name=name, address=address, **_HERE))
        _write(root / "links.d" / f"{_LINK}.toml", _LINK_FILE)
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


def create_service(directory: Path, listen: Address, name: str) -> NewService:
    """Make an instance for systemd/sftpd.service, of which only configuration and keys are in `directory`.

    Raises as `create_instance`.
    """
    root, address = directory.absolute(), _with_port(listen)
    with _told_where():
        _make_root(root)
        _make_folders(root)
        host_key = _make_keys(root / "keys")
        _write(root / "sftpd.toml", _INSTANCE.format(name=name, address=address, **_IN_THE_UNIT))
    return NewService(
        config=str(root / "sftpd.toml"),
        links=str(root / "links.d"),
        name=name,
        host=address.host,
        port=address.port,
        host_key=host_key,
    )


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


@contextmanager
def _told_where() -> Iterator[None]:
    """Say of what the system refuses what it was about."""
    try:
        yield
    except OSError as error:
        raise SftpdError(f"cannot make the instance: {error.strerror}", where=error.filename) from None


def _make_root(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise RefusedError(
            "the folder is not empty",
            reason="NOT_EMPTY",
            where=str(root),
            remedy="name a new or an empty folder",
        )


def _make_folders(root: Path, *more: tuple[str, int]) -> None:
    for name, mode in (("links.d", 0o755), ("keys", 0o700), *more):
        (root / name).mkdir(mode)
    _sync(root, root.parent)


def _make_link(folder: Path) -> None:
    folder.mkdir(0o755)
    for name in _FOLDERS:
        (folder / name).mkdir(0o750)
    _sync(folder, folder.parent)


def _sync(*folders: Path) -> None:
    for path in folders:
        with Root.at(path) as folder:
            folder.sync()


def _make_keys(folder: Path) -> str:
    """Make the instance's own keys; returns the public host key."""
    make_key(folder / "audit_ed25519")
    return make_key(folder / "host_ed25519")


def _write(path: Path, text: str) -> None:
    durable.write_file(path, text.encode(), 0o644)


def _known_name(host: str, port: int) -> str:
    """The host as `known_hosts` names it."""
    return host if port == _SSH_PORT else f"[{host}]:{port}"


def _with_port(address: Address) -> Address:
    return address if address.port else Address(address.host, _free_port(address.host))


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
