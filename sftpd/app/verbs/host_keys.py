"""Host keys."""

from collections.abc import Mapping
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.keys import load_private_key
from sftpd.app.verbs.verb import Arguments, Verb


def _host_key_list(instance: Instance, _: Arguments) -> list[dict[str, Any]]:
    """The keys with where each is: a path, or `credential:NAME` or `env:NAME`."""
    secrets = instance.config.instance.server.host_keys
    found = [(secret, load_private_key(secret.reveal())) for secret in secrets]
    return [
        {
            "type": key.get_name(),
            "fingerprint": key.fingerprint,
            "file": secret.target if secret.scheme == "file" else f"{secret.scheme}:{secret.target}",
        }
        for secret, key in found
    ]


VERBS: Mapping[str, Verb] = {"host-key.list": _host_key_list}
