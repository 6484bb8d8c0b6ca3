"""A JSON document loses to the byte what a slow reading says, however much of it is passed over."""

import json
import random
from typing import Any

import pytest

from sftpd.erasure.formats import json as json_format
from sftpd.erasure.formats import json_passing
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.json import Json
from sftpd.erasure.formats.json_heads import rows_heads
from sftpd.erasure.formats.json_tokens import DEPTH_LIMIT, TEXT_LIMIT
from sftpd.erasure.formats.model import Findings, Inquiry, UnsearchableError
from sftpd.erasure.identifiers import Identifier, carries, parse_identifier, possible, record_carries

PLAIN = (
    *("email=jan@example.nl", "customer=K123", "name=Jan de Vries"),
    *("address=3581 CD 12", "born=Jan de Vries 1980-05-17"),
)
KNOWN = [parse_identifier(plain) for plain in PLAIN]
EVERY = [*KNOWN, *(form for known in KNOWN for form in possible(known))]
GONE = object()
HERS = (
    "jan@example.nl",
    "JAN@example.nl",
    "klantnummer K123",
    "K123",
    "Jan de Vries",
    "J. de Vries",
    "Jan",
    "de Vries",
    "17-05-1980",
    "Kade 12",
    "3581 CD",
    12,
)
OTHERS = (1, 2.5, True, None, -3e5, "x", "é", "\U0001d11e", 'a"b', "a\\b", "]", "{", ",", "x" * 90)
KEYS = (
    "a",
    "b",
    "klantnummer",
    "voornaam",
    "achternaam",
    "huisnummer",
    "postcode",
    "jan@example.nl",
    "k/e~y",
    'q"',
    "",
    "k" * 90,
)


class Slow:
    """What must be left of a value: the rule, on what Python's own reader says."""

    def __init__(self, known: list[Identifier]) -> None:
        self.known = known

    def left(self, value: Any) -> Any:
        rest, hers = self._left(value, "", in_array=False)
        return GONE if hers else rest

    def _left(self, value: Any, label: str, *, in_array: bool) -> tuple[Any, bool]:
        """What is left of a value, and whether the element of an array that it is in must go."""
        if isinstance(value, list):
            read = self._elements(value, label)
            rest = [each for each, hers in read if not hers]
            scalars = not any(isinstance(each, list | dict) for each in value)
            return rest, bool(value) and scalars and not rest and in_array
        if isinstance(value, dict):
            inner = label.rpartition(".")[2]
            told = [
                (f"{inner}.{key.replace('~', '~0').replace('/', '~1')}", key, each)
                for key, each in value.items()
            ]
            read = [(key, self._left(each, under, in_array=in_array)) for under, key, each in told]
            said = [(under, self._said(each)) for under, _, each in told if not isinstance(each, list | dict)]
            hers = any(hers for _, (_, hers) in read) or record_carries(self.known, said)
            kept = [(key, rest) for key, (rest, _) in read if not carries(self.known, key)]
            return self._by_columns(value) or dict(kept), hers
        return value, carries(self.known, self._said(value), label)

    def _is_row_of_hers(self, row: Any, rest: Any, heads: list[list[str]]) -> bool:
        """Whether a row below heads loses an element, or is hers by what they call its elements."""
        fitting = [head for head in heads if isinstance(row, list) and len(head) == len(row)]
        told = [
            [
                (label, self._said(each))
                for label, each in zip(head, row, strict=True)
                if not isinstance(each, list | dict)
            ]
            for head in fitting
        ]
        return any(
            len(rest) < len(row)
            or any(carries(self.known, text, label) for label, text in fields)
            or record_carries(self.known, fields)
            for fields in told
        )

    def _elements(self, value: list[Any], label: str) -> list[tuple[Any, bool]]:
        """What is left of each element, and whether it is hers."""
        heads = rows_heads(json.dumps(value).encode(), 1, "utf-8")
        read = [self._left(each, label, in_array=True) for each in value]
        return [
            (rest, hers or self._is_row_of_hers(each, rest, heads))
            for each, (rest, hers) in zip(value, read, strict=True)
        ]

    def _by_columns(self, value: dict[str, Any]) -> dict[str, Any]:
        """What is left of an object of columns of one length; empty where it is none."""
        columns = [each for each in value.values() if isinstance(each, list)]
        if len(columns) < max(len(value), 2) or len({len(each) for each in columns}) > 1:
            return {}
        if any(isinstance(each, list | dict) for column in columns for each in column) or any(
            carries(self.known, key) for key in value
        ):
            return {}
        read = {key: self._elements(each, f".{key}") for key, each in value.items()}
        gone = {at for each in read.values() for at, (_, hers) in enumerate(each) if hers}
        return {
            key: [rest for at, (rest, _) in enumerate(each) if at not in gone] for key, each in read.items()
        }

    def _said(self, value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value)


def some_value(chance: random.Random, depth: int, hers: float) -> Any:
    kind = chance.random()
    if depth == 0 or kind < 0.4:
        return chance.choice(HERS if chance.random() < hers else OTHERS)
    if kind < 0.75:
        many = chance.choice((0, 1, 2, 5, 30 if depth < 4 else 3))
        return [some_value(chance, depth - 1, hers) for _ in range(many)]
    keys = (
        chance.choice(KEYS) + (str(n) if chance.random() < 0.7 else "")
        for n in range(chance.choice((0, 1, 3, 8)))
    )
    return {
        key: some_value(chance, depth - 1, hers)
        for key in keys
        if chance.random() < hers * 3 or "@" not in key
    }


def find(data: bytes, known: list[Identifier], places: frozenset[str] = frozenset()) -> Findings:
    return Json().find(data, Inquiry(known, detect, places=places))


@pytest.fixture(params=[(16384, 2048), (300, 60), (40, 15)], ids=str)
def passed(request, monkeypatch) -> dict[str, int]:
    """What was passed over, with windows of several sizes."""
    monkeypatch.setattr(json_passing, "_WINDOWS", request.param)
    counts = {"run": 0, "one": 0}

    def counted(name: str) -> None:
        method = getattr(json_passing.Passing, name)

        def call(self: json_passing.Passing, *where: Any) -> Any:
            found = method(self, *where)
            counts[name] += found is not None
            return found

        monkeypatch.setattr(json_passing.Passing, name, call)

    counted("run")
    counted("one")
    return counts


def test_a_document_loses_what_a_slow_reading_says(passed: dict[str, int]) -> None:
    chance = random.Random(3)
    outcomes = {"whole": 0, "cut": 0, "kept": 0}
    for _ in range(400):
        value = some_value(chance, chance.choice((2, 3, 5)), chance.choice((0.01, 0.03, 0.3)))
        for _ in range(chance.choice((0, 0, 0, 9, 20))):
            value = [value, "jan@example.nl"] if chance.random() < 0.5 else {"d": value}
        style = {
            "ensure_ascii": chance.random() < 0.5,
            "separators": chance.choice(((",", ":"), (", ", ": "))),
        }
        encoding = chance.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16"))
        known = chance.choice((KNOWN, EVERY))
        data = json.dumps(value, **style).encode(encoding)
        left, findings = Slow(known).left(value), find(data, known)
        if left is GONE:
            assert findings.whole, data
            outcomes["whole"] += 1
            continue
        rest = b"".join(findings.rest())
        assert rest == json.dumps(left, **style).encode(encoding), data
        outcomes["cut" if findings.locators else "kept"] += 1
        assert find(data, [], frozenset(findings.locators)).locators == findings.locators, data
    assert min(outcomes.values()) > 10
    assert min(passed.values()) > 100


def test_places_are_found_in_what_is_passed_over() -> None:
    rows = json.dumps({"v": 1, "rijen": [{"nr": n, "x": [n, {"a": n}]} for n in range(5000)]}).encode()
    places = frozenset({"/rijen/7", "/rijen/4000/x/1", "/rijen/4999"})
    findings = find(rows, [], places)
    assert set(findings.locators) == places
    left = json.loads(b"".join(findings.rest()))["rijen"]
    assert (len(left), left[3999], left[7]) == (
        4998,
        {"nr": 4000, "x": [4000]},
        {"nr": 8, "x": [8, {"a": 8}]},
    )
    long_key = "k" * 300
    deep = json.dumps({long_key: [1, 2, 3], "e": [1]}).encode()
    (place,) = find(json.dumps({long_key: [1, "jan@example.nl", 3], "e": [1]}).encode(), KNOWN).locators
    assert json.loads(b"".join(find(deep, [], frozenset({place})).rest())) == {long_key: [1, 3], "e": [1]}


def test_what_python_does_not_read_is_not_searched(passed: dict[str, int]) -> None:
    chance = random.Random(4)
    refused = 0
    for _ in range(1500):
        value = ["jan@example.nl", some_value(chance, 3, 0.02), *({"n": n, "x": [1, 2]} for n in range(5))]
        text = json.dumps(value, ensure_ascii=False)
        at = chance.randrange(len(text))
        new = chance.choice(("", ",", "]", "}", '"', "\\", "\x0b", "1", "[", ":"))
        text = text[:at] + new + text[at + chance.randrange(2) :]
        if "jan@example.nl" not in text or "\x0b" in text:
            continue
        try:
            json.loads(text)
        except ValueError:
            refused += 1
            with pytest.raises(UnsearchableError, match="it is not JSON at character"):
                find(text.encode(), KNOWN)
        else:
            find(text.encode(), KNOWN)
    assert refused > 500
    assert min(passed.values()) > 100


def test_what_is_wrong_is_told_by_its_character(passed: dict[str, int]) -> None:
    before = json.dumps(["é", *range(99), {"a": "é"}, "jan@example.nl"], ensure_ascii=False)[:-1]
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        with pytest.raises(UnsearchableError, match=f"at character {len(before) + 1}$"):
            find(f"{before}}}".encode(encoding), KNOWN)


def test_depth_counts_where_values_are_passed_over() -> None:
    for depth, fits in ((DEPTH_LIMIT - 1, True), (DEPTH_LIMIT, False)):
        data = ('["jan@example.nl",' + "[" * depth + "1" + "]" * depth + ",[[1]],[[1]]]").encode()
        if fits:
            assert find(data, KNOWN).locators == ["/0"]
        else:
            with pytest.raises(UnsearchableError, match="nested deeper than"):
                find(data, KNOWN)


def test_a_text_that_is_too_long_is_refused() -> None:
    data = b'["jan@example.nl", "' + b"x" * TEXT_LIMIT + b'", 1]'
    with pytest.raises(UnsearchableError, match="a text in it has more than"):
        find(data, KNOWN)


ALONE = (
    {"v": 1, "rijen": [{"e": "x"}, {"e": "jan@example.nl"}]},
    {"rijen": [{"e": "x"}, {"e": "jan@example.nl"}], "meta": {"v": {"w": 1}}},
    {"meta": {"v": {"w": 1}}, "rijen": [{"e": "x"}, {"e": "jan@example.nl", "tags": [1]}]},
    {"fouten": [], "rijen": [{"e": "x"}, {"e": "jan@example.nl"}], "links": ["a", "b", ["c"]]},
    {"meta": {"tags": ["a", "b"]}, "rijen": [{"e": "x"}, {"e": "jan@example.nl"}]},
)


@pytest.mark.parametrize("value", ALONE, ids=str)
def test_an_array_with_no_other_of_its_length_is_no_table_however_long(value: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(json_format, "_TABLE_LIMIT", 10)
    findings = find(json.dumps(value).encode(), KNOWN)
    assert list(findings.locators) == ["/rijen/1"]
    left = value | {"rijen": [{"e": "x"}]}
    assert json.loads(b"".join(findings.rest())) == left


def test_arrays_beside_each_other_that_are_too_long_to_be_compared_are_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr(json_format, "_TABLE_LIMIT", 10)
    with pytest.raises(UnsearchableError, match="a table by its columns"):
        find(b'{"a": ["x", "jan@example.nl"], "b": [1, 2]}', KNOWN)
