import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.errors import LimitError
from sftpd.link.limits import Use, grant
from sftpd.link.model import Limits

NOTHING = Use(files=0, size=0, stored=0)
SIZE = st.integers(0, 2**40)


def reason(limits: Limits, storage: int | None, use: Use, size: int) -> str:
    with pytest.raises(LimitError) as refused:
        grant(limits, storage, use, size)
    return refused.value.reason


def test_no_limit_grants_anything() -> None:
    assert grant(Limits(), None, Use(10**6, 10**15, 10**15), 2**60) is None


def test_files_are_counted_with_the_one_in_question() -> None:
    limits = Limits(files_per_day=2)
    assert grant(limits, None, Use(1, 0, 0), 5) is None
    assert reason(limits, None, Use(2, 0, 0), 5) == "FILES_PER_DAY"


def test_the_last_byte_is_granted_and_no_more() -> None:
    limits = Limits(bytes_per_day=100)
    assert grant(limits, None, Use(0, 40, 0), 60) == 60
    assert reason(limits, None, Use(0, 40, 0), 61) == "BYTES_PER_DAY"
    assert reason(Limits(), 100, Use(0, 0, 40), 61) == "STORAGE"
    assert reason(limits, None, Use(0, 100, 0), 0) == "BYTES_PER_DAY"


def test_the_tighter_limit_decides() -> None:
    assert grant(Limits(bytes_per_day=1000), 100, NOTHING, 0) == 100
    assert reason(Limits(bytes_per_day=1000), 100, NOTHING, 500) == "STORAGE"


@given(limit=SIZE, used=SIZE, size=SIZE)
def test_a_grant_covers_what_was_asked_and_stays_in_the_limit(limit: int, used: int, size: int) -> None:
    try:
        granted = grant(Limits(bytes_per_day=limit), None, Use(0, used, 0), size)
    except LimitError:
        assert used + max(size, 1) > limit
    else:
        assert granted is not None
        assert size <= granted <= limit - used
