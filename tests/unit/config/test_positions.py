import json
import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sftpd.config.positions import KeyPath, line_of, locate

BARE = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
NASTY = st.text(st.sampled_from("a]}[{,#=\"'\\.\n "), max_size=8)


def basic(text: str) -> str:
    return json.dumps(text)


def literal(text: str) -> str:
    return f"'{text}'" if "'" not in text and "\n" not in text else basic(text)


def multi_basic(text: str) -> str:
    body = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""{body}"""'


def multi_literal(text: str) -> str:
    return f"'''\n{text}'''" if "''" not in text else multi_basic(text)


strings = st.builds(
    lambda write, text: write(text),
    st.sampled_from([basic, literal, multi_basic, multi_literal]),
    st.one_of(TEXT, NASTY),
)
scalars = st.one_of(
    strings,
    st.sampled_from(
        ["1", "-0.5e3", "true", "inf", "0x1F", "1979-05-27 07:32:00", "07:32:00", "1979-05-27T00:32:00Z"]
    ),
)
keys = st.one_of(BARE, TEXT.map(basic), TEXT.filter(lambda t: "'" not in t).map(lambda t: f"'{t}'"))
breaks = st.sampled_from(["", " ", "\n", " # a ], comment\n", "\r\n\t"])


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    elements = st.lists(st.tuples(breaks, values, breaks), max_size=3)
    return elements.map(
        lambda items: "[" + ",".join(before + value + after for before, value, after in items) + "]"
    )


def inline_tables(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(keys, values.filter(lambda value: "\n" not in value)), max_size=3)
    return pairs.map(lambda items: "{ " + ", ".join(f"{key} = {value}" for key, value in items) + " }")


values = st.recursive(scalars, lambda inner: st.one_of(arrays(inner), inline_tables(inner)), max_leaves=6)
dotted_keys = st.lists(keys, min_size=1, max_size=3).map(" . ".join)
lines = st.one_of(
    st.builds("{} = {}".format, dotted_keys, values),
    st.builds("  [{}]  # c".format, dotted_keys),
    st.builds("[[{}]]".format, dotted_keys),
    st.sampled_from(["", "# [x]", "\t"]),
)


def parses(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A document of random lines, each left out if it does not fit those before it."""
    text = ""
    for line in draw(st.lists(lines, max_size=12)):
        longer = text + line + draw(st.sampled_from(["\n", "\r\n"]))
        text = longer if parses(longer) else text
    return text


def nodes(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from nodes(inner, (*path, key))


def names(line: str, key: str) -> bool:
    """Whether `line` holds `key`, bare or in quotes of either kind."""
    return any(form in line for form in (key, basic(key), f"'{key}'"))


@given(documents())
def test_every_key_is_located_at_a_line_that_names_it(text: str) -> None:
    located = locate(text)
    source = text.split("\n")
    paths = set(nodes(tomllib.loads(text)))
    assert located.keys() == paths
    for path in paths:
        key = next((part for part in reversed(path) if isinstance(part, str)), "")
        if isinstance(path[-1], str):
            assert names(source[located[path] - 1], key)


@given(
    st.lists(st.tuples(BARE, scalars.filter(lambda value: "\n" not in value)), unique_by=lambda pair: pair[0])
)
def test_keys_on_lines_of_their_own_have_just_those_lines(pairs: list[tuple[str, str]]) -> None:
    located = locate("".join(f"{key} = {value}\n" for key, value in pairs))
    assert located == {(key,): number for number, (key, _) in enumerate(pairs, start=1)}


def test_elements_and_tables_in_arrays_have_their_own_lines() -> None:
    located = locate(
        '[[a]]\nx = [\n  1, # one\n  "]",\n]\n[a.b]\ny = { p = [2,\n 3], q = 4 }\n[[a]]\nx = 5\n'
    )
    assert located == {
        ("a",): 1, ("a", 0): 1, ("a", 0, "x"): 2, ("a", 0, "x", 0): 3, ("a", 0, "x", 1): 4,
        ("a", 0, "b"): 6, ("a", 0, "b", "y"): 7, ("a", 0, "b", "y", "p"): 7, ("a", 0, "b", "y", "p", 0): 7,
        ("a", 0, "b", "y", "p", 1): 8, ("a", 0, "b", "y", "q"): 8, ("a", 1): 9, ("a", 1, "x"): 10,
    }  # fmt: skip


def test_what_is_absent_is_at_the_line_of_what_is_around_it() -> None:
    located = locate("\n[a]\nb = 1\n")
    assert line_of(located, ("a", "b", 2, "c")) == 3
    assert line_of(located, ("a", "z")) == 2
    assert line_of(located, ("z",)) == 1
