"""The keys that say how files are brought to a remote, step by step, for servers that need it otherwise."""

import re
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from sftpd.config.model import Section
from sftpd.config.refusal import not_allowed
from sftpd.config.values import ByteCount, Flag, Kind

NO_TEMPORARY = "none"
_WORDS = ("prefix", "suffix", NO_TEMPORARY)
_PATTERN = re.compile(r"[^/{}\x00-\x1f\x7f]*(\{(?:id|name)\}[^/{}\x00-\x1f\x7f]*)+")


def _temporary(raw: object) -> str:
    text = raw if isinstance(raw, str) else ""
    if text in _WORDS:
        return text
    good = _PATTERN.fullmatch(text) and text.count("{id}") == 1 and text.count("{name}") <= 1
    if not good or text.endswith("{name}") or len(text.encode()) > 100:
        raise not_allowed(
            raw, '"prefix", "suffix", "none", or a name with "{id}" that does not end in "{name}"'
        )
    return text


def _mode(raw: object) -> int:
    if isinstance(raw, str) and re.fullmatch(r"0?[0-7]{3}", raw, re.ASCII):
        return int(raw, 8)
    raise not_allowed(raw, 'permission bits in octal such as "0640"')


TemporaryName = Annotated[
    str,
    PlainValidator(_temporary, json_schema_input_type=str),
    Kind('`"prefix"`, `"suffix"`, `"none"`, or pattern with `{id}`'),
]
Mode = Annotated[int, PlainValidator(_mode, json_schema_input_type=str), Kind("octal mode")]


class HandlingSection(Section):
    """How files are brought to a remote; `sftpd remote probe` suggests what its server needs."""

    temporary: TemporaryName = "prefix"
    """The name of a file until it is whole, in the same folder: `prefix` is `.sftpd-{id}.part`, `suffix` is
    `{name}.sftpd-{id}.part`. In another pattern `{name}` must not come last, so that nobody takes it for the
    final file. `none` writes to the final name, for servers that cannot rename: what is there can be read
    before it is whole, stays cut off while a delivery is broken off, and an older file is lost at once."""
    resume: Flag = True
    """Whether an upload that broke off goes on where it ended, once what is there is proven to be its
    beginning, by hash or by reading it."""
    resume_limit: ByteCount = Field(default=1 << 30, examples=["1 GiB"])
    """The longest beginning that is read back for that, where the server tells no hash."""
    check_file: Literal["offered", "always", "never"] = "offered"
    """Whether the server is asked for hashes (check-file): `always` is for servers that tell them without
    offering it, such as ProFTPD."""
    confirm: Literal["hash", "hash-required", "size"] = "hash"
    """How it is made sure that the bytes arrived, before the final name: by `hash`, else by reading the file
    again up to `confirm_limit`, else by its size, or by the server's word alone where the file is taken away
    at once or nobody may look at it; `hash-required` fails where neither of the first two
    is possible. The event `transfer.delivered` says which it was."""
    confirm_limit: ByteCount = Field(default=1 << 20, examples=["1 MiB"])
    """The largest file that is read again for that, where the server tells no hash."""
    fsync: Flag = True
    """Whether the server is asked to make the file durable, where it offers that."""
    preserve_times: Flag = False
    """Whether the file gets our modification time; a delivery fails where the server refuses."""
    mode: Mode | None = Field(default=None, examples=["0640"])
    """The permission bits that the file gets before its final name; as the server sets them if left out."""
    posix_rename: Flag = True
    """Whether a file that may replace another is renamed in one step (posix-rename@openssh.com), where the
    server offers that; else the other is removed first if a plain rename is refused."""
    confirm_placed: Flag = True
    """Whether the file is looked for under its final name; the event says `seen`. For servers that take files
    away at once, `false` spares the look."""
