"""Runs the commands of hooks as children of the zygote, where they can change nothing that lasts."""

import tempfile
from collections.abc import Mapping

from sftpd.process.command import Completed, run_command
from sftpd.process.pool import Children
from sftpd.process.sandbox import Sandbox


class SandboxedCommands:
    """Commands may read and run everything, and write to a temporary directory of their own.

    The network stays open to them: scanners and notifiers talk to services of the operator's choice.
    """

    def __init__(self, children: Children) -> None:
        self._children = children

    def run(self, argv: list[str], *, stdin: bytes, deadline: float, env: Mapping[str, str]) -> Completed:
        """Run `argv` in `/` for at most `deadline` seconds; its temporary directory is in `TMPDIR`.

        Raises ProcessError when there is no child to run it in, OSError when there is no temporary directory.
        """
        with tempfile.TemporaryDirectory(prefix="sftpd-hook-") as scratch:
            return run_command(
                self._children,
                argv,
                sandbox=Sandbox(execute=("/",), write=(scratch, "/dev/null"), connect_ports=None),
                deadline=deadline,
                stdin=stdin,
                env={**env, "TMPDIR": scratch},
            )
