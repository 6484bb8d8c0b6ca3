from datetime import UTC, datetime, timedelta

from sftpd.names import new_id

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def test_an_id_has_26_characters_that_begin_with_its_time():
    made = new_id(NOW)
    assert len(made) == 26
    assert set(made) <= set(DIGITS)
    bits = 0
    for character in made:
        bits = bits << 5 | DIGITS.index(character)
    assert bits & 3 == 0
    assert bits >> 82 == NOW.timestamp() * 1000


def test_ids_sort_by_time():
    times = [NOW + timedelta(milliseconds=n) for n in range(2000)]
    made = [new_id(time) for time in times]
    assert made == sorted(made)


def test_ids_of_one_moment_differ():
    assert len({new_id(NOW) for _ in range(10_000)}) == 10_000
