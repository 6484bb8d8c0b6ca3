"""Asking the instance: the running daemon over its control socket, or the same verb on its files."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftpd.cli.loading import loading
from sftpd.config.whereabouts import control_socket
from sftpd.errors import SftpdError, UsageError
from sftpd.service.control_client import call

if TYPE_CHECKING:
    from sftpd.config.load import Config


def ask(config: Path, verb: str, **arguments: Any) -> Any:
    """Carry out `verb` on the instance of `config` and return its JSON; arguments that are None are left out.

    A daemon that runs is asked whatever the configuration says by now: it has read another. Raises
    ConfigError, what the verb raises, DaemonError where the daemon refuses, and SftpdError when neither a
    daemon answers nor this process may open the instance.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    _require_text(given)
    with suppress(ConnectionError):
        return ask_daemon(config, verb, given)
    with loading():
        from sftpd.config.load import load

    return _ask_files(load(config), verb, given)


def _require_text(arguments: Mapping[str, Any]) -> None:
    """Pass if neither a message nor the ledger will choke on a text. Raises UsageError."""
    for name, value in arguments.items():
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise UsageError("not UTF-8 text", where=f"--{name.replace('_', '-')}") from None


def ask_only_daemon(config: Path, verb: str, does: str, **arguments: Any) -> Any:
    """Have the running daemon carry out what nobody else `does`.

    Raises ConfigError, DaemonError where it refuses, and SftpdError when none runs or it ends meanwhile.
    """
    try:
        return ask_daemon(config, verb, arguments)
    except ConnectionError as error:
        from sftpd.config.load import load_instance

        load_instance(config)
        raise SftpdError(f"no daemon runs, and only that {does}", remedy="start it: sftpd serve") from error


def ask_daemon(config: Path, verb: str, arguments: Mapping[str, Any]) -> Any:
    """Have the running daemon carry out `verb`.

    Raises ConnectionError when none runs, DaemonError where it refuses, SftpdError when it ends meanwhile.
    """
    path = control_socket(config)
    if path is None:
        raise ConnectionError(f"{config}: cannot be read")
    try:
        return call(path, verb, arguments)
    except ConnectionError as error:
        if error.__cause__ is not None:
            raise  # there was nobody to connect to
        raise SftpdError(
            "the daemon ended, or failed, before it had answered",
            where=str(path),
            remedy="look in its log, and whether it has done what was asked before asking again",
        ) from error


def _ask_files(config: "Config", verb: str, arguments: Mapping[str, Any]) -> Any:
    with loading():
        from sftpd import logs
        from sftpd.app.instance import Instance
        from sftpd.app.operations import operations
        from sftpd.clock import SystemClock
        from sftpd.service.answers import settled

    logs.configure("warning", "console")
    with Instance(config, SystemClock()) as instance:
        # What was committed last must stand in the logs before anybody reads them.
        instance.sequencer.drain()
        return settled(operations(instance)[verb](arguments))
