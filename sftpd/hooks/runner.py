"""Runs the hooks of an event: gates before a file passes, observers after."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import structlog

from sftpd.clock import Clock
from sftpd.errors import HookError
from sftpd.hooks.listing import HookFile, Listings
from sftpd.hooks.spec import EVENTS, HookEvent
from sftpd.hooks.verdict import HOOK_FAILED, Verdict, combine, from_exit, printable_reason
from sftpd.process.command import Completed

_ENVIRONMENT = MappingProxyType({"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"})
_log = structlog.get_logger()


class CommandRunner(Protocol):
    """Runs one command where it can read files, run programs and change nothing that lasts."""

    def run(self, argv: list[str], *, stdin: bytes, deadline: float, env: Mapping[str, str]) -> Completed:
        """Run `argv` in `/`, for at most `deadline` seconds, with `env` and little else as environment.

        Output is kept up to a bound; the rest is dropped. Raises ProcessError when it cannot be started.
        """
        ...

    def stays(self, program: str) -> bool:
        """Whether the command runs on after its answer, so that the next one comes soon. Raises OSError."""
        ...


class HookRunner:
    """Runs the executables in `<directory>/<event>.d/` in lexical order.

    `deadline` is the time in seconds that the hooks of one event have together. The directory is looked at
    for every event, so a change takes effect at once.
    """

    def __init__(self, directory: Path, commands: CommandRunner, deadline: float, clock: Clock) -> None:
        self.directory = directory
        self._listings = Listings(directory)
        self._commands = commands
        self._deadline = deadline
        self._clock = clock

    def require_mounted(self) -> None:
        """Pass unless hooks that were there may only be not mounted. Raises HookError."""
        self._listings.require_mounted()

    def has(self, event: str) -> bool:
        """Whether there are hooks of `event`; what keeps them from being listed counts as one."""
        try:
            return bool(self._listings.of(EVENTS[event]))
        except HookError:
            return True

    def stay(self, event: str) -> bool:
        """Whether all hooks of `event` run on after an answer, so that the next one comes soon."""
        try:
            return all(self._commands.stays(str(hook.path)) for hook in self._listings.of(EVENTS[event]))
        except (HookError, OSError):
            return False

    def screen(self, event: str, payload: Mapping[str, Any], file: Path) -> Verdict:
        """Ask the gates of `event` about `file`; the first that does not accept decides.

        `payload` holds the keys that `spec.EVENTS[event]` names, but for `event` and `file`. Whatever
        keeps a gate from giving a verdict is logged and quarantines the file.
        """
        try:
            spec = EVENTS[event]
            return combine(
                self._verdicts(self._listings.of(spec), _message(spec, payload, file), self._deadline)
            )
        except Exception as error:
            # Broad on purpose: a fault of ours must not open the gate either.
            _log.error("hook_failed", hook_event=event, error=str(error), transfer=payload.get("transfer"))
            return HOOK_FAILED

    def screen_soon(
        self, event: str, payload: Mapping[str, Any], file: Path, patience: float
    ) -> Verdict | None:
        """As `screen`, if all gates stay and answer within `patience` seconds; else None: `screen` tells."""
        spec = EVENTS[event]
        try:
            hooks = self._listings.of(spec)
            if not all(self._commands.stays(str(hook.path)) for hook in hooks):
                return None
            return combine(self._verdicts(hooks, _message(spec, payload, file), patience))
        except Exception:
            return None

    def observe(self, event: str, payload: Mapping[str, Any], file: Path) -> None:
        """Tell the observers of `event`; a failing one is logged and does not keep the next from running."""
        spec = EVENTS[event]
        end = self._clock.monotonic() + self._deadline
        try:
            hooks = self._listings.of(spec)
        except HookError as error:
            _log.warning("hook_failed", hook_event=event, error=str(error))
            return
        for hook in hooks:
            try:
                self._run(hook, _message(spec, payload, file), end)
            except Exception as error:
                _log.warning("hook_failed", hook_event=event, hook=hook.path.name, error=str(error))

    def _verdicts(self, hooks: list[HookFile], message: bytes, deadline: float) -> Iterator[Verdict]:
        end = self._clock.monotonic() + deadline
        for hook in hooks:
            # All are looked at before the first runs: an unusable gate lets nothing through.
            _require_usable(hook)
        for hook in hooks:
            yield self._run(hook, message, end)

    def _run(self, hook: HookFile, message: bytes, end: float) -> Verdict:
        _require_usable(hook)
        remaining = end - self._clock.monotonic()
        if remaining <= 0:
            raise HookError("no time was left to run it", where=str(hook.path))
        completed = self._commands.run(
            [str(hook.path)],
            stdin=message,
            deadline=remaining,
            env={**_ENVIRONMENT, "SFTPD_EVENT": hook.event},
        )
        said = printable_reason(completed.stderr)
        try:
            verdict = from_exit(_status(completed), completed.stdout)
        except HookError as error:
            raise HookError(
                f"{error.what}: {said}" if said else error.what,
                where=str(hook.path),
                expected=error.expected,
            ) from error
        if said:
            _log.info("hook_said", hook_event=hook.event, hook=hook.path.name, said=said)
        return verdict


def _status(completed: Completed) -> int:
    """The exit status of a command that ended by itself and in time."""
    if completed.timed_out:
        raise HookError("gave no answer in time")
    if completed.cause:
        raise HookError(f"could not be run: {completed.cause}")
    if completed.status is None:
        raise HookError(f"ended by signal {completed.signal}")
    return completed.status


def _require_usable(hook: HookFile) -> None:
    if hook.fault is not None:
        raise HookError(hook.fault, where=str(hook.path))


def _message(spec: HookEvent, payload: Mapping[str, Any], file: Path) -> bytes:
    message = {**payload, "event": spec.name, "file": str(file)}
    if message.keys() != spec.keys:
        raise HookError(
            "payload does not have the keys of its event",
            where=spec.name,
            expected=", ".join(sorted(spec.keys)),
        )
    return json.dumps(message).encode() + b"\n"
