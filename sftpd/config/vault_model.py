"""The configuration of a link's vault."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated

from pydantic import Field, PlainValidator, ValidationInfo, WrapValidator
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

from sftpd.config import keys
from sftpd.config.model import Section
from sftpd.config.refusal import fault, not_allowed
from sftpd.config.secret import Secret
from sftpd.config.values import IN_SAMPLE, ConfigPath, Flag, Kind, revealed, secret_reference

_FORM = '{ program = ["/PATH", ...], secret = "REFERENCE", write = ["/FOLDER", ...] }'


@dataclass(frozen=True, slots=True)
class KeyProgram:
    """A program that wraps data keys: its path and arguments, what it is told, and where it may write."""

    argv: tuple[str, ...]
    secret: Secret | None = None
    """Given to it with each request: a PIN, for example."""
    write: tuple[str, ...] = ()
    """Folders."""


def _key(raw: object, as_secret: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Secret | KeyProgram:
    match raw:
        case KeyProgram():
            return raw
        case {"program": argv, **rest} if rest.keys() <= {"secret", "write"}:
            secret = secret_reference(rest["secret"], info) if "secret" in rest else None
            write = _texts(rest.get("write", ()), "write", slice(None))
            return KeyProgram(_texts(argv, "program", slice(1), least=1), secret, write)
        case dict():
            raise fault(f"found a table with other keys, allowed: a reference to a secret, or {_FORM}")
    found: Secret = as_secret(raw)
    return found


def _texts(raw: object, key: str, paths: slice, *, least: int = 0) -> tuple[str, ...]:
    """A list of texts, of which those at `paths` are absolute paths."""
    texts = tuple(raw) if isinstance(raw, list | tuple) else (None,)
    are_texts = len(texts) >= least and all(isinstance(text, str) and "\0" not in text for text in texts)
    if not are_texts or not all(PurePath(path).is_absolute() for path in texts[paths]):
        raise not_allowed(raw, f"{key} as in {_FORM}")
    return texts


VaultKey = Annotated[
    Secret | KeyProgram,
    PlainValidator(secret_reference, json_schema_input_type=str | dict[str, str | list[str]]),
    revealed(keys.vault_key_fault),
    WrapValidator(_key),
    Kind('secret, or `{ program = ["/PATH"] }`'),
]


class VaultSection(Section):
    """An encrypted archive copy of each file that crosses this link; see `docs/vault.md`."""

    key: VaultKey = Field(examples=["credential:example-vault"])
    """What wraps the keys of the copies: 32 bytes in base64 or hexadecimal, by reference, as `sftpd vault
    new-key` makes them, or a program that asks a device or a service to do so."""
    keys: Annotated[ConfigPath | None, IN_SAMPLE] = Field(default=None, examples=["/srv/keys/sftpd"])
    """The folder of the wrapped keys, which must be in no backup of the files; `vault-keys` in the state
    folder if left out."""
    archive: Flag = True
    """Whether files are archived; if false, the copies there are stay until they are disposed of."""
