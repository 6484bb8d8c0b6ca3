"""A key's value that is a window of time."""

from typing import Annotated

from pydantic import PlainValidator

from sftpd.config.refusal import not_allowed
from sftpd.config.values import Kind
from sftpd.timewindows import FORM, TimeWindow, TimeWindowError


def _window(raw: object) -> TimeWindow:
    if isinstance(raw, TimeWindow):
        return raw
    try:
        return TimeWindow.parse(str(raw))
    except TimeWindowError:
        raise not_allowed(raw, f"a window of time such as {FORM}") from None


Window = Annotated[TimeWindow, PlainValidator(_window, json_schema_input_type=str), Kind("window of time")]
