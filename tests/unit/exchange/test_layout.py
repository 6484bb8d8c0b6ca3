import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.exchange.layout import LAYOUTS, returned

names = st.binary(min_size=1, max_size=255).filter(lambda n: n[:1] != b"." and not {0, 47} & set(n))
tricky = st.text("+.-a", min_size=1, max_size=6).map(str.encode).filter(lambda name: name[:1] != b".")
paths = st.lists(names | tricky, min_size=1, max_size=4).map(tuple)
flatten = LAYOUTS["flatten"]


def test_folders_stay_or_become_part_of_the_name():
    path = (b"2026", b"march", b"a.csv")
    assert LAYOUTS["keep"](path) == path
    assert flatten(path) == (b"2026+march+a.csv",)
    assert flatten((b"a.csv",)) == (b"a.csv",)
    assert flatten((b"a+b", b"c.csv")) == (b"a+.b+c.csv",)


def test_a_name_that_would_be_too_long_keeps_its_end():
    (name,) = flatten((b"f" * 200, b"n" * 246 + b".csv"))
    assert len(name) == 255
    assert name.endswith(b"n.csv")


@given(st.lists(paths, min_size=2, max_size=6, unique=True))
def test_no_two_paths_have_the_same_name(several):
    flat = [flatten(path) for path in several]
    assert len(set(flat)) == len(flat)
    for (name,) in flat:
        assert 0 < len(name) <= 255
        assert b"/" not in name


@pytest.mark.parametrize(
    ("path", "goes_to"),
    [
        (b"inbound/a.csv", b"returned/a.csv"),
        (b"inbound/requests/a.csv", b"returned/requests/a.csv"),
        (b"inbound/.hidden/a.csv", b"returned/.hidden/a.csv"),
        (b".sftpd/requests/a.csv", b"returned/requests/a.csv"),
    ],
)
def test_what_goes_back_keeps_its_path_in_its_folder(path, goes_to):
    assert returned(tuple(path.split(b"/"))) == tuple(goes_to.split(b"/"))
