import pytest

from sftpd.exchange.coverage import Coverage


@pytest.mark.parametrize(
    ("reads", "whole"),
    [
        ([(0, 10)], [True]),
        ([(9, 10)], [False]),
        ([(0, 5), (5, 10)], [False, True]),
        ([(0, 5), (6, 10)], [False, False]),
        ([(0, 5), (6, 10), (4, 6)], [False, False, True]),
        ([(5, 10), (0, 5)], [False, True]),
        ([(0, 10), (9, 10)], [True, False]),
    ],
)
def test_a_file_was_read_whole_once_each_byte_was(reads, whole):
    coverage = Coverage()
    assert [coverage.add("file", 10, [read]) for read in reads] == whole


def test_an_empty_file_is_whole_once_it_was_read():
    assert not Coverage().add("file", 0, [])
    assert Coverage().add("file", 0, [(0, 0)])


def test_what_was_read_of_one_file_counts_for_no_other():
    coverage = Coverage()
    assert not coverage.add("a", 10, [(0, 5)])
    assert not coverage.add("b", 10, [(5, 10)])
    assert coverage.add("a", 10, [(5, 10)])


def test_memory_is_bounded_and_what_is_forgotten_was_not_read():
    coverage = Coverage()
    assert not coverage.add("first", 10, [(0, 5)])
    for number in range(2000):
        assert not coverage.add(number, 10, [(0, 5)])
        assert not coverage.add("long", 10_000, [(2 * number, 2 * number + 1)])
    assert not coverage.add("first", 10, [(5, 10)])
