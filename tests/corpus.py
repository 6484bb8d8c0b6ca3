"""Two hundred files in which one person stands among others, and what each must be after her erasure.

The expected bytes are put together from the records that stay, not computed by the code under test.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FILES = 200
EMAIL = "jan.devries@example.nl"
NAMESAKES = ("xjan.devries@example.nl", "jan.devries@example.nl.com", "devries@example.nl", "jan@example.nl")
_NAMES = ("Zoë Müller", "Ünal Çelik", "Piet Jansen", "Renée d'Hondt", "Wim\nvan Dam", 'Ko "de" Boer')
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    lambda email: f"Jan <{email}>; tel 06",
    lambda email: f"mail {email}, liefst snel.",
)


@dataclass(frozen=True)
class Corpus:
    """The person's identifiers, what each file must be afterwards, and how many records of hers there are."""

    identifiers: list[str]
    expected: dict[str, bytes]
    records: int


def build(directory: Path, seed: int = 1) -> Corpus:
    """Write the files into `directory`: CSV and JSON, UTF-8 and Windows-1252, `;` and `,`, each in turn."""
    chance = random.Random(seed)
    expected: dict[str, bytes] = {}
    total = 0
    for number in range(FILES):
        encoding = ("utf-8", "cp1252")[number // 2 % 2]
        hers = [chance.random() < 0.2 for _ in range(chance.randint(1, 12))]
        if number % 2:
            name, before, after = f"export-{number}.json", *_json(chance, hers)
        else:
            name, before, after = f"export-{number}.csv", *_csv(chance, hers, ";,"[number // 4 % 2])
        (directory / name).write_bytes(before.encode(encoding))
        expected[name] = after.encode(encoding)
        total += sum(hers)
    return Corpus([f"email={EMAIL}"], expected, total)


def _person(chance: random.Random, number: int, hers: bool) -> tuple[str, str, str]:
    email = (
        chance.choice(_SPELLINGS)(EMAIL) if hers else chance.choice((*NAMESAKES, f"klant{number}@example.nl"))
    )
    return str(number), chance.choice(_NAMES), email


def _csv(chance: random.Random, hers: list[bool], delimiter: str) -> tuple[str, str]:
    line_end = chance.choice(("\r\n", "\n"))
    header = delimiter.join(("nr", "naam", "e-mail")) + line_end
    rows = [
        delimiter.join(_quoted(value) for value in _person(chance, number, mine)) + line_end
        for number, mine in enumerate(hers)
    ]
    kept = [row for row, mine in zip(rows, hers, strict=True) if not mine]
    return header + "".join(rows), header + "".join(kept)


def _quoted(value: str) -> str:
    needs = any(character in value for character in ',;"\r\n')
    return '"' + value.replace('"', '""') + '"' if needs else value


def _json(chance: random.Random, hers: list[bool]) -> tuple[str, str]:
    start, gap, end = chance.choice((("[", ",", "]"), ('{"v": 1, "rijen": [\n  ', ",\n  ", "\n]}\n")))
    rows = [_object(chance, number, mine) for number, mine in enumerate(hers)]
    kept = [row for row, mine in zip(rows, hers, strict=True) if not mine]
    return start + gap.join(rows) + end, start + gap.join(kept) + end


def _object(chance: random.Random, number: int, hers: bool) -> str:
    key, name, email = _person(chance, number, hers)
    contact = {"e-mail": [email], "tel": None} if chance.random() < 0.3 else email
    text = json.dumps({"nr": key, "naam": name, "contact": contact}, ensure_ascii=False)
    return text.replace("@", "\\u0040") if chance.random() < 0.3 else text
