"""Answers that are written in parts, as JSON that is read whole."""

import json
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.service.answers import settled, written

scalars = st.none() | st.booleans() | st.integers() | st.text()
plain = st.recursive(scalars, lambda of: st.lists(of) | st.dictionaries(st.text(), of), max_leaves=20)


def given_out(value):
    """The same with an iterator in place of each list at the top, or in mappings below."""
    if isinstance(value, list):
        return iter(value)
    return {name: given_out(each) for name, each in value.items()} if isinstance(value, dict) else value


@given(plain)
def test_what_is_written_is_what_is_settled_and_what_was_meant(value):
    assert json.loads("".join(written(given_out(value)))) == value
    assert settled(given_out(value)) == value
    assert json.loads("".join(written(value))) == value


@pytest.mark.parametrize("elements", [499, 500, 501, 1000, 1001])
def test_elements_are_written_some_at_a_time(elements):
    parts = list(written({"items": iter(range(elements))}))
    assert json.loads("".join(parts)) == {"items": list(range(elements))}
    assert len(parts) > elements / 500


def test_no_more_is_asked_for_than_is_written():
    asked = []
    endless = (asked.append(number) or number for number in count())
    list(islice(written(endless), 2))
    assert len(asked) == 1000
