"""How a value that is not allowed is told of: what was found, and what would have been right."""

import json

from pydantic_core import PydanticCustomError

_SHOWN = 60


def show(found: object) -> str:
    """A value of the configuration as a fault line shows it: as in TOML, and short.

    Tables and lists are not shown: a secret may be in them.
    """
    if isinstance(found, dict | list):
        return "a table" if isinstance(found, dict) else "a list"
    text = json.dumps(found, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def fault(text: str) -> PydanticCustomError:
    """The error that `faults.translate` passes on with `text` as it is."""
    return PydanticCustomError("fault", "{text}", {"text": text})


def not_allowed(found: object, allowed: str) -> PydanticCustomError:
    """The error that says what was found and what would have been right."""
    return fault(f"found {show(found)}, allowed: {allowed}")
