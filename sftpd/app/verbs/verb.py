"""What a verb is."""

from collections.abc import Callable, Mapping
from typing import Any

from sftpd.app.instance import Instance

Arguments = Mapping[str, Any]
"""The arguments of a request, as JSON; a verb raises KeyError for one that is missing."""

Verb = Callable[[Instance, Arguments], Any]
"""Carries out one request and returns JSON. Raises SftpdError."""


def as_text(path: bytes) -> str:
    """A path as JSON can hold it."""
    return path.decode("utf-8", "backslashreplace")
