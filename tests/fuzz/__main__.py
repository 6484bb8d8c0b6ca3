"""`python -m tests.fuzz TARGET --seconds N`: guided by coverage, until something fails or the time is over.

An input that fails is kept in `corpus/TARGET/`, where every run of the tests tries it again.
"""

import argparse
import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import atheris

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent)]

_MEMORY_MIB = 1024
_INPUT_SECONDS = 30

with atheris.instrument_imports(include=["sftpd", "paramiko"]):
    import fuzz_oracle
    from fuzz_targets import CORPUS, TARGETS, inputs


def main() -> int:
    """Fuzz one target; the exit code is libFuzzer's, 0 when nothing failed."""
    arguments = _arguments()
    # libFuzzer ends its process on the spot, and somebody has to clear up behind it.
    with fuzz_oracle.scratch() as folder, _folder_for_failures(arguments.target) as kept:
        child = os.fork()
        if not child:
            fuzz_oracle.place = folder
            _fuzz(TARGETS[arguments.target], arguments.seconds, kept)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextlib.contextmanager
def _folder_for_failures(target: str) -> Iterator[Path]:
    """A target's folder in the corpus: libFuzzer wants it there before anything has failed."""
    kept = CORPUS / target
    kept.mkdir(parents=True, exist_ok=True)
    yield kept
    for empty in (kept, CORPUS):
        with contextlib.suppress(OSError):
            empty.rmdir()


def _fuzz(target: fuzz_oracle.Target, seconds: int, kept: Path) -> None:
    found = fuzz_oracle.place / "found"
    found.mkdir()
    for data in inputs(target):
        (found / hashlib.sha256(data).hexdigest()).write_bytes(data)
    options = {
        "max_total_time": seconds,
        "max_len": fuzz_oracle.INPUT_LIMIT,
        "rss_limit_mb": _MEMORY_MIB,
        "timeout": _INPUT_SECONDS,
        "handle_xfsz": 0,  # that a file may not grow is an error like others, as the oracle has it
        "artifact_prefix": f"{kept}/libfuzzer-",
    }
    with fuzz_oracle.checked(target) as check:

        def attempt(data: bytes) -> None:
            try:
                check(data)
            except BaseException:
                (kept / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
                raise

        atheris.Setup(
            [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(found)], attempt
        )
        atheris.Fuzz()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="how long to try")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
