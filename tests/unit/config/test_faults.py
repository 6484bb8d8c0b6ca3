import tomllib
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sftpd.config.faults import Fault, dotted, translate
from sftpd.config.link_model import LinkFile
from sftpd.config.model import InstanceFile, Section
from sftpd.config.render import sample

SAMPLES = {model: tomllib.loads(sample(model, complete=True)) for model in (InstanceFile, LinkFile)}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
scalars = st.one_of(
    texts, st.integers(), st.floats(), st.booleans(), st.dates(), st.times(), st.datetimes(),
    st.sampled_from(["remote:x", "file:x", "download", "outbound", "PT1S", "1 1 1 1 1", "a:1", "1 B"]),
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3))
)


def places(value: Any) -> Iterator[tuple[Any, str | int]]:
    """Every container in `value` with each of its keys or indices."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


@pytest.mark.parametrize("model", [InstanceFile, LinkFile])
@given(data=st.data())
def test_whatever_stands_in_a_file_gives_one_line_a_fault_and_none_is_pydantics(
    model: type[Section], data: st.DataObject
) -> None:
    tables = deepcopy(SAMPLES[model])
    container, key = data.draw(st.sampled_from(list(places(tables))))
    container[key] = data.draw(values)
    if isinstance(container, dict):
        container[data.draw(texts)] = data.draw(values)
    try:
        model.model_validate(tables)
    except ValidationError as error:
        findings = list(translate(error, model))
        assert findings
        for finding in findings:
            line = str(Fault("file.toml", 1, dotted(finding.path), finding.text))
            assert line.isprintable()
            assert "another kind of value" not in line
            assert "Input should" not in line


def test_places_without_line_or_key_are_left_out() -> None:
    assert str(Fault("links.d", 0, "", "no link")) == "links.d: no link"
    assert str(Fault("a.toml", 3, "x", "wrong")) == "a.toml:3: x: wrong"


def test_key_paths_are_written_as_operators_write_them() -> None:
    assert dotted(("account", 0, "permissions", 2)) == "account[0].permissions[2]"
    assert dotted(()) == ""
