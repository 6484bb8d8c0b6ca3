"""A person known by an address, and by name with a date of birth, whose parts stand in fields of their own.

All is made from a seed: the person in each form that is certain, the neighbours, and namesakes.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from person_corpus import WHOLE, PersonCorpus, Row, files_of, people_of
from person_names import CERTAIN, Name, joined, namesakes
from person_names import names as names_of

MONTHS = ("januari", "februari", "maart", "april", "mei", "juni", "juli")
MONTHS += ("augustus", "september", "oktober", "november", "december")
STREET = "Kanaalstraat"
TEXTS = (*WHOLE, "letter")
"""Formats in which fields are not told apart."""


@dataclass(frozen=True)
class Home:
    """Where somebody lives."""

    digits: str
    letters: str
    number: int
    addition: str = ""

    @property
    def known_as(self) -> str:
        return f"{self.digits} {self.letters} {self.number}{self.addition}"

    def postcodes(self) -> list[str]:
        upper = self.letters.upper()
        return [f"{self.digits} {upper}", f"{self.digits}{upper}", f"{self.digits} {self.letters}"]

    def numbers(self) -> list[str]:
        if not self.addition:
            return [str(self.number)]
        added = self.addition
        return [f"{self.number}{between}{added}" for between in ("", "-", " ")] + [
            f"{self.number}{added.upper()}"
        ]


def dates(day: date) -> list[str]:
    """A date in the forms in which people write it."""
    month = day.strftime("%B")
    return [
        day.isoformat(),
        f"{day.day}-{day.month}-{day.year}",
        day.strftime("%d-%m-%Y"),
        day.strftime("%d/%m/%Y"),
        day.strftime("%d.%m.%Y"),
        day.strftime("%d-%m-%y"),
        day.strftime("%Y%m%d"),
        f"{day.isoformat()}T00:00:00",
        f"{day.day} {MONTHS[day.month - 1]} {day.year}",
        f"{day.day} {month[:3].lower()} {day.year}",
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
    ]


Form = Callable[[random.Random, Home, Name, date], Row]


def _row(**fields: str) -> Row:
    return Row(**{"nr": "", "name": "", "email": "", "phone": "", "city": "Ede"} | fields)


IN_FIELDS: dict[str, Form] = {
    "house in one field": lambda chance, home, _name, _day: _row(
        postcode=chance.choice(home.postcodes()), house=chance.choice(home.numbers())
    ),
    "addition apart": lambda chance, home, _name, _day: _row(
        postcode=chance.choice(home.postcodes()), house=str(home.number), addition=home.addition
    ),
    "street and town": lambda chance, home, _name, _day: _row(
        street=f"{STREET} {chance.choice(home.numbers())}", city=f"{chance.choice(home.postcodes())}  Ede"
    ),
    "name in parts": lambda chance, _home, name, day: _row(
        given=name.given,
        prefix=name.prefix,
        surname=name.bare,
        born=chance.choice(dates(day)),
    ),
}
"""Forms of which the parts are in fields that a text does not tell apart."""

IN_TEXTS: dict[str, Form] = {
    "street and postcode": lambda chance, home, _name, _day: _row(
        street=f"{STREET} {chance.choice(home.numbers())}", postcode=chance.choice(home.postcodes())
    ),
    "address in a line": lambda chance, home, _name, _day: _row(
        city=f"{STREET} {chance.choice(home.numbers())}, {chance.choice(home.postcodes())} Ede"
    ),
    "postcode first": lambda chance, home, _name, _day: _row(
        city=f"{chance.choice(home.postcodes())} {chance.choice(home.numbers())}"
    ),
    "name and date": lambda chance, _home, name, day: _row(
        name=CERTAIN[chance.choice(sorted(CERTAIN))](chance, name), born=chance.choice(dates(day))
    ),
    "name with date": lambda chance, _home, name, day: _row(
        name=f"{name.full} ({chance.choice(dates(day))})"
    ),
}


def home_of(chance: random.Random) -> Home:
    return Home(
        str(chance.randint(1000, 9999)),
        chance.choice("abcdefgh") + chance.choice("klmnpqr"),
        chance.randint(20, 400),
        chance.choice(("", "a", "bis")),
    )


def somebody(chance: random.Random, row: Row) -> Row:
    """Somebody who lives somewhere and was born some day."""
    home, day = home_of(chance), date(1930, 1, 1) + timedelta(chance.randint(0, 30_000))
    return row._replace(
        born=chance.choice(dates(day)),
        street=f"{STREET} {home.number}",
        house=str(home.number),
        addition=home.addition,
        postcode=chance.choice(home.postcodes()),
    )


def nearly(chance: random.Random, home: Home, name: Name, day: date) -> Row:
    """A neighbour, a namesake, or who was born the same day; none of them has all of a part."""
    other_day = chance.choice(dates(day + timedelta(chance.choice((-1, 1, 31, 365)))))
    other = Home(home.digits, home.letters, home.number + chance.choice((-2, 2, 10)), home.addition)
    elsewhere = Home(home.digits, "zz", home.number, home.addition)
    lives = chance.choice((other, elsewhere))
    told = {"street": f"{STREET} {lives.number}{lives.addition}", "postcode": lives.postcodes()[0]}
    told |= {"house": str(lives.number), "addition": lives.addition}
    return chance.choice(
        (
            lambda: _row(**told, phone=str(home.number), name="Piet Bakker"),
            lambda: _row(name=name.full, born=other_day, **told),
            lambda: _row(given=name.given, prefix=name.prefix, surname=name.bare, born=other_day),
            lambda: _row(name=chance.choice(namesakes(name)), born=chance.choice(dates(day))),
            lambda: _row(name=name.full),
            lambda: _row(postcode=home.postcodes()[0], name=name.full),
        )
    )()


def generate(files: int, seed: int = 1, persons: int = 500) -> PersonCorpus:
    """Make files in which one person is known by parts; her records are told by their forms."""
    chance = random.Random(seed)
    home, name = home_of(chance), names_of(seed)[0]
    day = date(1930, 1, 1) + timedelta(chance.randint(0, 30_000))
    others = [somebody(chance, row) for row in people_of(chance, seed, persons)]
    forms: dict[Row, str] = {}

    def hers(form: str) -> Row:
        told = IN_TEXTS if form in TEXTS else IN_TEXTS | IN_FIELDS
        written = chance.choice(sorted(told))
        row = told[written](chance, home, name, day)
        forms[row] = written
        return row

    def other() -> Row:
        return nearly(chance, home, name, day) if chance.random() < 0.3 else chance.choice(others)

    made = files_of(files, chance, hers, other)
    born = f"born={joined(name.given, name.surname)} {chance.choice(dates(day)[:5])}"
    return PersonCorpus([f"address={home.known_as}", born], made, forms)
