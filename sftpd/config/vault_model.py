"""The configuration of a link's vault."""

from typing import Annotated

from pydantic import Field

from sftpd.config.model import Section
from sftpd.config.values import IN_SAMPLE, ConfigPath, Flag, VaultKey


class VaultSection(Section):
    """An encrypted archive copy of each file that crosses this link; see `docs/vault.md`."""

    key: VaultKey = Field(examples=["credential:example-vault"])
    """What wraps the keys of the copies: 32 bytes in base64 or hexadecimal, by reference, as `sftpd vault
    new-key` makes them."""
    keys: Annotated[ConfigPath | None, IN_SAMPLE] = Field(default=None, examples=["/srv/keys/sftpd"])
    """The folder of the wrapped keys, which must be in no backup of the files; `vault-keys` in the state
    folder if left out."""
    archive: Flag = True
    """Whether files are archived; if false, the copies there are stay until they are disposed of."""
