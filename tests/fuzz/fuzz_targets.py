"""The table of what is fuzzed, with the inputs that are tried in every run of the tests."""

from collections.abc import Iterator
from pathlib import Path

import fuzz_certificates
import fuzz_erasure
import fuzz_monitor
import fuzz_sftp
import fuzz_ssh
from fuzz_oracle import Target

CORPUS = Path(__file__).with_name("corpus")

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (fuzz_ssh, fuzz_sftp, fuzz_certificates, fuzz_monitor, fuzz_erasure)
    for target in module.TARGETS
}


def inputs(target: Target) -> Iterator[bytes]:
    """The seeds of a target, and what once made it fail."""
    yield from target.seeds()
    for path in sorted((CORPUS / target.name).glob("*")):
        yield path.read_bytes()
