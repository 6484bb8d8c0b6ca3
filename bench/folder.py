"""The folder that a measurement writes to."""

import argparse
from pathlib import Path


def made(text: str) -> Path:
    """A folder as `--folder` names it, made where there is none. Raises ArgumentTypeError."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be made: {error.strerror}") from error
    return path
