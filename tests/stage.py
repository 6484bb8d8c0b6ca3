"""Processes that may die, forked from one that has loaded their script: each starts in no time."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple, Self


class Outcome(NamedTuple):
    """How a process ended: its status, or less than 0 for a signal; and what it wrote."""

    status: int
    output: str
    errors: str


class Stage:
    """A script that is loaded; each `play` is its `main` in a process of its own."""

    def __init__(self, script: str) -> None:
        command = [sys.executable, __file__, script]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def play(self, *arguments: object) -> Outcome:
        """Run `main` with these arguments, as texts, to its end."""
        print(json.dumps(list(map(str, arguments))), file=self._process.stdin, flush=True)
        return Outcome(*json.loads(self._process.stdout.readline()))


def serve(script: Path) -> None:
    """Play what comes in, a line each, until there is no more."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(script.parent))
    spec.loader.exec_module(module)
    for line in sys.stdin:
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            pid = os.fork()
            if pid == 0:
                play(module.main, json.loads(line), output.fileno(), errors.fileno())
            _, status = os.waitpid(pid, 0)
            written = [os.pread(file.fileno(), 1 << 20, 0).decode() for file in (output, errors)]
        print(json.dumps([os.waitstatus_to_exitcode(status), *written]), flush=True)


def play(main, arguments: list[str], output: int, errors: int) -> None:
    os.dup2(output, 1)
    os.dup2(errors, 2)
    status = 1
    try:
        main(arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
