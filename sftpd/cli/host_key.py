"""`sftpd host-key`: the keys by which partners know this server, and how to change them without a break."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, argument, print_json, show_rows
from sftpd.cli.new_key import KeyType, make_key
from sftpd.errors import NotFoundError, RefusedError, SftpdError

if TYPE_CHECKING:
    from sftpd.config.load import Config
    from sftpd.config.secret import Secret

group = typer.Typer()

_ANNOUNCE = """\
{fingerprint}
Announce it: in [server] of {config} set
  {line}
and restart. OpenSSH's clients with UpdateHostKeys learn it when they log in; tell the others its fingerprint.
When all know it, `sftpd host-key retire` says how to go over to it.
"""


@group.command("list")
def list_keys(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the host keys with the fingerprints to tell partners, those to come too."""
    show_rows(ask(config, "host-key.list"), ("type", "fingerprint", "file", "in_use"), as_json=as_json)


@group.command("add")
def add(
    file: Annotated[Path, argument("FILE", "Where the new key goes.")],
    key_type: Annotated[
        KeyType, typer.Option("--type", metavar="TYPE", help="ed25519, ecdsa or rsa.")
    ] = KeyType.ED25519,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a host key, and say how to announce it. The configuration stays as it is."""
    from sftpd.app.keys import load_private_key
    from sftpd.config.load import load

    to_come = load(config).instance.server.host_keys_to_come
    path = file.absolute()
    try:
        make_key(path, key_type)
        fingerprint = load_private_key(path.read_bytes()).fingerprint
    except OSError as error:
        raise SftpdError(f"cannot make the key: {error.strerror}", where=str(path)) from error
    line = _line("host_keys_to_come", [*map(_reference, to_come), f"file:{path}"])
    if as_json:
        print_json({"file": str(path), "fingerprint": fingerprint, "set": [line]})
    else:
        print(_ANNOUNCE.format(fingerprint=fingerprint, config=config, line=line), end="")


@group.command("retire")
def retire(
    fingerprint: Annotated[str, argument("FINGERPRINT", "As `list` tells it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say how to take a host key out of use, with those to come in its place. Changes nothing."""
    from sftpd.config.load import load

    lines = _without(load(config), fingerprint)
    if as_json:
        print_json({"fingerprint": fingerprint, "set": lines})
    else:
        print(f"In [server] of {config} set", *(f"  {line}" for line in lines), "and restart.", sep="\n")


def _without(config: "Config", fingerprint: str) -> list[str]:
    """The lines of a configuration without a key.

    Raises NotFoundError for a key that is not in use, RefusedError if none were left.
    """
    from sftpd.app.keys import load_private_key

    server = config.instance.server
    used = {load_private_key(secret.reveal()).fingerprint: secret for secret in server.host_keys}
    if fingerprint not in used:
        raise NotFoundError(
            f"no host key {fingerprint!r} is in use", where="FINGERPRINT", expected=" or ".join(used)
        )
    kept = [secret for found, secret in used.items() if found != fingerprint]
    if not (kept or server.host_keys_to_come):
        raise RefusedError(
            "it is the only host key",
            reason="LAST_HOST_KEY",
            remedy="make and announce another one first, with `sftpd host-key add`",
        )
    then = [_reference(secret) for secret in (*kept, *server.host_keys_to_come)]
    return [_line("host_keys", then), _line("host_keys_to_come", [])]


def _reference(secret: "Secret") -> str:
    return f"{secret.scheme}:{secret.target}"


def _line(key: str, references: Sequence[str]) -> str:
    quoted = ", ".join(f'"{reference}"' for reference in references)
    return f"{key} = [{quoted}]"
