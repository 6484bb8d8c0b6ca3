"""The vaults of an instance's links, each opened when it is first used."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from sftpd.app.key_program import WrappingProgram
from sftpd.config.keys import vault_key
from sftpd.config.load import Config
from sftpd.config.secret import Secret
from sftpd.config.vault_model import KeyProgram
from sftpd.errors import SftpdError
from sftpd.files.data_keys import Wrapping, WrappingKey
from sftpd.files.vault import Vault
from sftpd.link.folders import Folders
from sftpd.process.pool import Children

_FOLDER = "vault-keys"


class Vaults:
    """The vaults, by link; one is made once and stays as it is configured then."""

    def __init__(self, children: Callable[[], Children]) -> None:
        """`children` gives those in which a program wraps keys, when it is first needed."""
        self._children = children
        self._made: dict[str, Vault] = {}

    def adopt(self, config: Config) -> None:
        """Make the vaults of links that have none yet; touches no disk."""
        about = config.instance.about
        for file in config.links:
            if file.vault is not None and file.name not in self._made:
                keys = key_file(config, file.name, file.vault.keys)
                folder = Folders(about.links / file.name).vault
                self._made[file.name] = Vault(
                    folder, keys, wrapping(file.vault.key, self._children), file.name
                )

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


def wrapping(key: Secret | KeyProgram, children: Callable[[], Children]) -> Wrapping:
    """What wraps the data keys of a vault with this key; touches nothing yet."""
    return WrappingProgram(key, children) if isinstance(key, KeyProgram) else _ByReference(key)


def key_program_faults(config: Config) -> list[str]:
    """What is wrong with the programs that wrap keys, a line each, for `sftpd check`.

    One whose secret is a credential is asked within the service only.
    """
    keys = {file.name: file.vault.key for file in config.links if file.vault is not None}
    programs = {link: key for link, key in keys.items() if isinstance(key, KeyProgram)}
    known = {link: key for link, key in programs.items() if key.secret is None or key.secret.known_here}
    if not known:
        return []
    faults = []
    children = Children.start(("sftpd.process.command",))
    try:
        for link, key in known.items():
            try:
                WrappingProgram(key, lambda: children).probe()
            except (OSError, SftpdError) as error:
                faults.append(f"links.d/{link}.toml: vault.key: {error}")
    finally:
        children.stop(0)
    return faults


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
