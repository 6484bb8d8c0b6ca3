"""The vaults of an instance's links, each opened when it is first used."""

from functools import cached_property
from pathlib import Path

from sftpd.config.keys import vault_key
from sftpd.config.load import Config
from sftpd.config.secret import Secret
from sftpd.files.data_keys import WrappingKey
from sftpd.files.vault import Vault
from sftpd.link.folders import Folders

_FOLDER = "vault-keys"


class Vaults:
    """The vaults, by link; one is made once and stays as it is configured then."""

    def __init__(self) -> None:
        self._made: dict[str, Vault] = {}

    def adopt(self, config: Config) -> None:
        """Make the vaults of links that have none yet; touches no disk."""
        about = config.instance.about
        for file in config.links:
            if file.vault is not None and file.name not in self._made:
                keys = key_file(config, file.name, file.vault.keys)
                folder = Folders(about.links / file.name).vault
                self._made[file.name] = Vault(folder, keys, _ByReference(file.vault.key), file.name)

    def of(self, link: str) -> Vault | None:
        """The vault of a link, None where it has none."""
        return self._made.get(link)

    def close(self) -> None:
        """Let all of them go."""
        for vault in self._made.values():
            vault.close()


def key_file(config: Config, link: str, keys: Path | None) -> Path:
    """Where the wrapped keys of a link lie; `keys` is the folder that its configuration names."""
    return (keys or config.instance.about.state / _FOLDER) / f"{link}.keys"


class _ByReference:
    """Wraps with a secret that is read when it is first needed: what wraps no key needs no secret."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """As Wrapping says; raises SecretError besides."""
        return self._key.wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """As Wrapping says; raises SecretError besides."""
        return self._key.unwrap(wrapped, context)

    @cached_property
    def _key(self) -> WrappingKey:
        return WrappingKey(vault_key(self._secret.reveal()))
