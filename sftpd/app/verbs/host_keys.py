"""Host keys."""

from collections.abc import Mapping
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.keys import load_private_key
from sftpd.app.verbs.verb import Arguments, Verb


def _host_key_list(instance: Instance, _: Arguments) -> list[dict[str, Any]]:
    """The keys with where each is: a path, or `credential:NAME` or `env:NAME`."""
    server = instance.config.instance.server
    return [
        {
            "type": key.get_name(),
            "fingerprint": key.fingerprint,
            "file": secret.target if secret.scheme == "file" else f"{secret.scheme}:{secret.target}",
            "in_use": secret in server.host_keys,
        }
        for secret in (*server.host_keys, *server.host_keys_to_come)
        for key in (load_private_key(secret.reveal()),)
    ]


VERBS: Mapping[str, Verb] = {"host-key.list": _host_key_list}
