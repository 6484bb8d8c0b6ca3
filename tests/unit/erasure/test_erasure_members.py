"""JSON that is indexed by its members: the tokens are those that one gets value by value."""

import json
import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from sftpd.erasure import tokenizing
from sftpd.erasure.formats.json import Json
from sftpd.erasure.formats.ndjson import Ndjson
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.layouts import Numbers
from sftpd.erasure.members import Members
from sftpd.erasure.tokenizing import Collector
from sftpd.erasure.tokens import SIZE, wanted

KEY = b"k" * 32
LAYOUTS = (Numbers("relatie", "customer"), Numbers("Pers. ID", "employee"))
NAMES = (
    "klantnummer",
    "klant",
    "nummer",
    "nr",
    "Relatie",
    "pers. id",
    "employee",
    "naam",
    "a.b",
    "x/y~z",
    "0",
)
TEXTS = (
    "K-1",
    "klant 12",
    "klant%2034",
    "klantnummer",
    "Relatie",
    "personeelsnr: 5",
    "Jan",
    "12",
    "KLANT&#32;6",
    "1\n2",
    "klantnr. é7",
)
BESIDE = ("name", "value", "@id", "type", "waarde", "antwoord")


def tokens(name: str, data: bytes, *, closely: bool = False) -> set[bytes]:
    """Those of a file; `closely`: each value was shown by itself."""
    written: list[bytes] = []
    collector = Collector(KEY, written.append, LAYOUTS)
    form = collector.detect(name.encode(), data)
    if closely:
        form = Ndjson() if isinstance(form, Ndjson) else Json()
    form.find(data, collector.inquiry(name.encode()))
    collector.flush()
    packed = b"".join(written)
    return {packed[start : start + SIZE] for start in range(0, len(packed), SIZE)}


def value(chance: random.Random, depth: int) -> str:
    """JSON of any shape, as text, since keys may be in it twice."""
    shape = chance.random() if depth else 1.0
    if shape < 0.4:
        names = BESIDE if chance.random() < 0.3 else NAMES
        keys = (json.dumps(chance.choice(names)) for _ in range(chance.randint(0, 4)))
        return f"{{{', '.join(f'{key}: {value(chance, depth - 1)}' for key in keys)}}}"
    if shape < 0.6:
        return f"[{', '.join(value(chance, depth - 1) for _ in range(chance.randint(0, 4)))}]"
    if shape < 0.9:
        return json.dumps(chance.choice(TEXTS))
    return chance.choice(("12", "-3.50", "1e3", "123456789012345678901", "true", "null", '""'))


def documents(chance: random.Random) -> Iterator[str]:
    for _ in range(chance.randint(1, 12)):
        yield f'{{"klantnummer": {value(chance, 0)}, "x": {value(chance, 4)}, "klant": {value(chance, 2)}}}'


@pytest.mark.parametrize("seed", range(80))
def test_the_numbers_are_those_of_each_value_by_itself(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[str] = set()

    def noted(entries: Iterable[str], _key: bytes) -> bytes:
        taken.update(entry for entry in entries if entry.startswith(("customer", "employee")))
        return b""

    def numbers(name: str, data: bytes, *, closely: bool = False) -> set[str]:
        taken.clear()
        tokens(name, data, closely=closely)
        return set(taken)

    monkeypatch.setattr(tokenizing, "tokens", noted)
    told = list(documents(random.Random(seed)))
    lines, whole = "\n".join(told).encode(), f"[{', '.join(told)}]".encode()
    nested = f'{{"a": {{"klant": {whole.decode()}}}, "b": {told[0]}}}'.encode()
    for name, data in (("a.ndjson", lines), ("a.json", whole), ("a.json", nested)):
        assert numbers(name, data) >= numbers(name, data, closely=True) != set()


def test_hardly_anything_is_read_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []

    def watched(take: Callable[[Members, str, str], bool]) -> Callable[[Members, str, str], bool]:
        def answering(members: Members, text: str, label: str) -> bool:
            answers.append(take(members, text, label))
            return answers[-1]

        return answering

    monkeypatch.setattr(Members, "take", watched(Members.take))
    order = '{"klantnummer": "K-%d", "e-mail": "klant%d@example.nl", "punten": [[1, 2], [3, 4]], "n": [%d]}\n'
    lines = "".join(order % (number, number, number) for number in range(600))
    told = tokens("a.ndjson", lines.replace("punten", "p").replace("[[1, 2], [3, 4]]", "[1, 2]").encode())
    assert set(answers) == {True}
    assert len(answers) < 15
    assert told >= {
        each for n in range(600) for each in wanted(parse_identifier(f"customer=K-{n}"), KEY) or ()
    }
    assert tokens("a.ndjson", lines.encode()) == tokens("a.ndjson", lines.encode(), closely=True)


@pytest.mark.parametrize(
    "before",
    ["", '"rest": {"a": [[1, 2]]}, ', '"rest": [%s0], ' % ("[1, 2], " * 9000)],
    ids=["first", "behind rows", "behind many"],
)
def test_rows_have_the_heads_that_stand_apart_from_them(before: str) -> None:
    rows = ", ".join(f'["{number}", "Jan"]' for number in range(1200))
    data = f'{{{before}"x": {{"data": [{rows}]}}, "columns": ["klantnummer", "naam"]}}'.encode()
    told = tokens("a.json", data)
    for number in (0, 1111, 1199):
        assert told.issuperset(wanted(parse_identifier(f"customer={number}"), KEY) or ())


def test_a_member_that_is_there_twice_has_two_tokens() -> None:
    told = tokens("a.ndjson", b'{"klantnummer": "K-1", "klantnummer": "K-2"}\n{"a": 1}\n')
    for number in ("K-1", "K-2"):
        assert told.issuperset(wanted(parse_identifier(f"customer={number}"), KEY) or ())


def test_rows_have_heads_that_are_far_from_what_is_around_them() -> None:
    text = ('"' + "x" * 9 + '", ') * 4500
    heads = f'"b": [{text} 0], "columns": ["klantnummer", "naam"], "c": [{text * 4} 0]'
    data = f'{{"a": [{text} 0], "x": {{"data": [["1234", "Jan"]]}}, {heads}}}'.encode()
    assert tokens("a.json", data).issuperset(wanted(parse_identifier("customer=1234"), KEY) or ())
