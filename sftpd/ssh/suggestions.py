"""From what an examination of a server has found to the settings of its `[[remote]]`. Pure."""

from collections.abc import Callable, Mapping

from sftpd.ssh.courier_messages import Finding, Findings

Value = str | bool

_Found = Mapping[str, Finding]

_NOT_TRIED = (
    "whether the server takes files away at once (if so: confirm_placed = false)",
    "large files: how long a hash takes, and what is allowed in all",
    "names that are not ASCII",
)


def untried(findings: Findings) -> list[str]:
    """What the examination cannot tell."""
    steps = [f"{each.step}: {each.said}" for each in findings.steps if each.works is None]
    return [*steps, *_NOT_TRIED]


def suggested(findings: Findings) -> dict[str, Value]:
    """The settings that should not be left at their defaults, by key; none if no file can be written."""
    found = {each.step: each for each in findings.steps}
    if not _works(found, "write"):
        return {}
    return {key: value for key, value, applies in _RULES if applies(found)}


def snippet(settings: Mapping[str, Value]) -> str:
    """The settings as lines of TOML, for the `[[remote]]` section."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items())


def _works(found: _Found, step: str) -> bool:
    return step in found and found[step].works is True


def _fails(found: _Found, step: str) -> bool:
    return step in found and found[step].works is False


def _unprovable(found: _Found) -> bool:
    return _fails(found, "read") and not _works(found, "check_file")


def _no_rename(found: _Found) -> bool:
    return _fails(found, "rename") and not _works(found, "posix_rename")


_RULES: tuple[tuple[str, Value, Callable[[_Found], bool]], ...] = (
    ("temporary", "none", _no_rename),
    ("temporary", "suffix", lambda found: _fails(found, "hidden_names") and not _no_rename(found)),
    ("resume", False, lambda found: _fails(found, "resume") or _unprovable(found)),
    (
        "check_file",
        "always",
        lambda found: _works(found, "check_file") and _fails(found, "check_file_offered"),
    ),
    ("check_file", "never", lambda found: _fails(found, "check_file")),
    ("confirm", "size", _unprovable),
    ("fsync", False, lambda found: _fails(found, "fsync")),
    ("posix_rename", False, lambda found: _fails(found, "posix_rename")),
)
"""Key, value, and when it is suggested."""


def _toml(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
