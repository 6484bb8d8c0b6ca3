from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.files.naming import (
    apart_from_reasons,
    flatten,
    numbered,
    reason_beside,
    unflatten,
    with_id,
    without_id,
    without_number,
    without_reason,
)
from sftpd.files.staging import looks_temporary
from sftpd.names import TransferId

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


@given(NAMES.filter(lambda name: len(name) <= 200), st.integers(1, 9_999))
def test_what_is_added_to_a_name_is_taken_off_again(name, number):
    transfer = TransferId("01k5zq8v3n9w6e2r7t4y1a0b3c")
    plain = name if name[:1] != b"." and name[-1:] != b"." else b"a" + name.strip(b".")
    assert without_reason(reason_beside(plain)) == plain
    if without_id(plain) == plain:
        assert without_id(with_id(plain, transfer)) == plain
    if without_number(plain) == plain:
        assert without_number(next(islice(numbered(plain), number, None))) == plain


@pytest.mark.parametrize("name", [b".reason.txt", b"a", b".1", b"a.01.csv", b"a.10000.csv", b"-" + b"0" * 26])
def test_nothing_is_taken_off_that_was_not_added(name):
    assert {without_reason(name), without_id(name), without_number(name)} == {name}


@given(st.lists(NAMES.filter(lambda name: name[:1] != b"."), min_size=1, max_size=4).map(tuple))
def test_a_flat_name_has_the_path_in_it(path):
    name = flatten(path)
    if len(name) < 255 and len(b"+".join(path)) + sum(part.count(b"+") for part in path) < 255:
        assert unflatten(name) == path


@pytest.mark.parametrize(
    "name", [b"a.part", b"a.FilePart", b"a.csv.partial", b"a.TMP", b"a.csv~", b".fuse_hidden0001"]
)
def test_temporary_names_are_known(name):
    assert looks_temporary(name)


@pytest.mark.parametrize("name", [b"a.csv", b"party", b"tmp.csv", b"a.parts", b"~a"])
def test_other_names_are_not_temporary(name):
    assert not looks_temporary(name)
