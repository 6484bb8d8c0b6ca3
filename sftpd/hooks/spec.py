"""The one table of hook events; `docs/hooks.md` is tested against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

KEYS: Mapping[str, str] = MappingProxyType(
    {
        "event": "name of the event, such as `pre-receive`",
        "link": "name of the link",
        "route": "name of the route, or null",
        "direction": "`inbound` (comes to us) or `outbound` (leaves us)",
        "path": "virtual path of the file, such as `/upload/report.csv`; bytes that are not UTF-8 as `\\xNN`",
        "size": "length of the file in bytes",
        "sha256": "SHA-256 of the content in lower-case hexadecimal",
        "transfer": "id of the transfer",
        "account": "account that sent or may fetch the file, or null",
        "file": "path at which the hook can read the content",
        "policy": "the route's file policy: an object of `allow`, `deny`, `max_size`, `types`, all optional",
    }
)
"""Every key of the JSON object on a hook's standard input, with its meaning."""

_COMMON = frozenset(KEYS) - {"policy"}


@dataclass(frozen=True, slots=True)
class HookEvent:
    """A moment at which hooks run: a gate's verdict decides on the file, an observer's status on nothing."""

    name: str
    is_gate: bool
    keys: frozenset[str]
    moment: str

    @property
    def directory(self) -> str:
        """Name of the directory that holds the event's executables."""
        return f"{self.name}.d"


EVENTS: Mapping[str, HookEvent] = MappingProxyType(
    {
        event.name: event
        for event in (
            HookEvent(
                "pre-receive", True, _COMMON | {"policy"}, "a file has come in whole and is not yet published"
            ),
            HookEvent("post-receive", False, _COMMON, "a file has been published in `inbound/`"),
            HookEvent(
                "pre-send", True, _COMMON | {"policy"}, "a file has been claimed and is not yet on its way"
            ),
            HookEvent("post-send", False, _COMMON, "a file has been delivered"),
        )
    }
)
