from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.files.naming import apart_from_reasons, numbered, reason_beside
from sftpd.files.staging import looks_temporary

NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: not {0, ord("/")} & set(name))


@pytest.mark.parametrize(
    ("name", "second"),
    [
        (b"report.csv", b"report.1.csv"),
        (b"report", b"report.1"),
        (b".hidden", b".hidden.1"),
        (b"a.tar.gz", b"a.tar.1.gz"),
        (b"r\xe9sum\xe9.txt", b"r\xe9sum\xe9.1.txt"),
    ],
)
def test_a_number_goes_before_the_suffix(name, second):
    assert list(islice(numbered(name), 2)) == [name, second]


@given(NAMES)
def test_numbered_names_are_distinct_and_fit_the_file_system(name):
    names = list(islice(numbered(name), 1, 200))
    assert len(set(names)) == len(names)
    assert all(0 < len(other) <= 255 for other in names)


@given(NAMES, NAMES.map(lambda name: name[:244] + b".reason.txt") | NAMES)
def test_no_file_lies_where_a_reason_goes(name, other):
    lies = apart_from_reasons(other)
    assert reason_beside(name) not in islice(numbered(lies), 20)
    assert len(lies) <= 255
    assert lies == other or other.endswith(b".reason.txt")


@pytest.mark.parametrize(
    "name", [b"a.part", b"a.FilePart", b"a.csv.partial", b"a.TMP", b"a.csv~", b".fuse_hidden0001"]
)
def test_temporary_names_are_known(name):
    assert looks_temporary(name)


@pytest.mark.parametrize("name", [b"a.csv", b"party", b"tmp.csv", b"a.parts", b"~a"])
def test_other_names_are_not_temporary(name):
    assert not looks_temporary(name)
