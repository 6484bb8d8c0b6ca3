"""`sftpd host-key`: the keys by which partners know this server, and how to change them without a break."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    NewFileArgument,
    argument,
    print_json,
    show_rows,
)
from sftpd.cli.new_key import KeyType, make_key, place
from sftpd.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from sftpd.config.secret import Secret

group = typer.Typer()

_ANNOUNCE = """\
{fingerprint}
Announce it: {steps}
OpenSSH's clients with UpdateHostKeys learn it when they log in; tell the others its fingerprint.
When all know it, `sftpd host-key retire` says how to go over to it.
"""


@group.command("list")
def list_keys(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the host keys with the fingerprints to tell partners, those to come too."""
    show_rows(ask(config, "host-key.list"), ("type", "fingerprint", "file", "in_use"), as_json=as_json)


@group.command("add")
def add(
    file: NewFileArgument,
    key_type: Annotated[
        KeyType, typer.Option("--type", metavar="TYPE", help="ed25519, ecdsa or rsa.")
    ] = KeyType.ED25519,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a host key, and say how to announce it. The configuration stays as it is."""
    from sftpd.app.keys import load_private_key
    from sftpd.config.load import load_instance

    instance = load_instance(config)
    put = place(file, config, instance)
    make_key(put.path, key_type)
    fingerprint = load_private_key(put.path.read_bytes()).fingerprint
    to_come = [_reference(secret) for secret in instance.server.host_keys_to_come]
    line = _line("host_keys_to_come", [*to_come, put.reference])
    if as_json:
        print_json({"file": str(put.path), "fingerprint": fingerprint, "set": [line], "drop_in": put.drop_in})
    else:
        steps = put.steps(f"[server] of {config}", line, "restart")
        print(_ANNOUNCE.format(fingerprint=fingerprint, steps=steps), end="")


@group.command("retire")
def retire(
    fingerprint: Annotated[str, argument("FINGERPRINT", "As `list` tells it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say how to take a host key out of use, with those to come in its place. Changes nothing."""
    lines = _without(ask(config, "host-key.list"), fingerprint)
    if as_json:
        print_json({"fingerprint": fingerprint, "set": lines})
    else:
        print(f"In [server] of {config} set", *(f"  {line}" for line in lines), "and restart.", sep="\n")


def _without(keys: Sequence[Mapping[str, Any]], fingerprint: str) -> list[str]:
    """The lines of a configuration without a key, of what `host-key.list` tells.

    Raises NotFoundError for a key that is not in use, RefusedError if none were left.
    """
    used = [key["fingerprint"] for key in keys if key["in_use"]]
    if fingerprint not in used:
        raise NotFoundError(
            f"no host key {fingerprint!r} is in use", where="FINGERPRINT", expected=" or ".join(used)
        )
    then = [_listed(key["file"]) for key in keys if key["fingerprint"] != fingerprint]
    if not then:
        raise RefusedError(
            "it is the only host key",
            reason="LAST_HOST_KEY",
            remedy="make and announce another one first, with `sftpd host-key add`",
        )
    return [_line("host_keys", then), _line("host_keys_to_come", [])]


def _listed(file: str) -> str:
    """The reference to a key of which `host-key.list` tells where it is."""
    return f"file:{file}" if file.startswith("/") else file


def _reference(secret: "Secret") -> str:
    return f"{secret.scheme}:{secret.target}"


def _line(key: str, references: Sequence[str]) -> str:
    quoted = ", ".join(f'"{reference}"' for reference in references)
    return f"{key} = [{quoted}]"
