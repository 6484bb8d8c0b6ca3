"""Requests for tests: hypothesis strategies, and the client's side of the encoding."""

from typing import Any

from hypothesis import strategies as st

from sftpd.sftp import attributes, requests
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.requests import EXTENDED, EXTENSIONS, REQUESTS, Request
from sftpd.sftp.wire import Reader, frame, string, uint32, uint64

UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
STRINGS = st.binary(max_size=60)
INIT = frame(1, uint32(3))

attribute_values = st.builds(
    Attributes,
    size=st.none() | UINT64,
    owner=st.none() | st.tuples(UINT32, UINT32),
    permissions=st.none() | UINT32,
    times=st.none() | st.tuples(UINT32, UINT32),
)

_CODECS: dict[Any, tuple[st.SearchStrategy[Any], Any]] = {
    Reader.string: (STRINGS, string),
    Reader.uint32: (UINT32, uint32),
    Reader.uint64: (UINT64, uint64),
    Reader.view: (STRINGS, string),
    attributes.decode: (attribute_values, attributes.encode),
}


def _values(request: Request) -> list[Any]:
    return [getattr(request, name) for name in request.__struct_fields__]


def encode(request_id: int, request: Request) -> bytes:
    """The packet in which a client sends `request`."""
    spec = requests.SPECS[type(request)]
    fields = [_CODECS[f][1](v) for f, v in zip(spec.fields, _values(request), strict=False)]
    for kind, row in REQUESTS.items():
        if row is spec:
            return frame(kind, uint32(request_id), *fields)
    name = next(name for name, row in EXTENSIONS.items() if row is spec)
    return frame(EXTENDED, uint32(request_id), string(name), *fields)


def _build(spec: Any) -> st.SearchStrategy[Request]:
    return st.tuples(*[_CODECS[field][0] for field in spec.fields]).map(lambda values: spec.kind(*values))


any_request = st.one_of([_build(spec) for spec in requests.SPECS.values()])
