"""How people write a name: forms that are one person for certain, forms that may be, and namesakes."""

import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from faker import Faker

PREFIXES = ("van der", "van den", "de", "van", "van 't", "ter")
SHORT = {"van der": ("v.d.", "v/d", "vd", "v. d."), "van den": ("v.d.", "v/d", "vd"), "van": ("v.",)}
ACCENTS = {"e": "éëè", "o": "öø", "a": "áä", "u": "ü", "i": "ï"}


@dataclass(frozen=True)
class Name:
    """A name of two given names, of which the second may be empty, and one or two surnames."""

    first: str
    middle: str
    prefix: str
    last: str
    other_prefix: str = ""
    other_last: str = ""

    @property
    def given(self) -> str:
        return joined(self.first, self.middle)

    @property
    def surname(self) -> str:
        own = joined(self.prefix, self.last)
        return f"{own}-{joined(self.other_prefix, self.other_last)}" if self.other_last else own

    @property
    def bare(self) -> str:
        return self.surname.removeprefix(self.prefix).strip()

    @property
    def full(self) -> str:
        return joined(self.given, self.surname)


def joined(*words: str) -> str:
    return " ".join(filter(None, words))


def names(seed: int) -> list[Name]:
    """The names of one person: each has something that the others have not."""
    chance = random.Random(seed)
    maker, other = Faker("nl_NL"), Faker("en_GB")
    maker.seed_instance(seed)
    other.seed_instance(seed)

    def last(makes: Faker) -> str:
        while True:
            made = makes.last_name().split()[-1]
            if len(made) > 5 and made.isalpha():
                return made

    def first(makes: Faker) -> str:
        while True:
            made = makes.first_name()
            if len(made) > 4 and made.isalpha():
                return made

    return [
        Name(first(maker), first(maker), chance.choice(PREFIXES[:2]), last(maker)),
        Name(first(maker), "", "", last(maker), chance.choice(PREFIXES[2:]), last(other)),
        Name(first(other), first(other), "", f"O'{last(other)}"),
        Name(accented(chance, first(maker)), "", chance.choice(PREFIXES), accented(chance, last(maker))),
    ]


def accented(chance: random.Random, word: str) -> str:
    """The word with one letter that has an accent."""
    places = [at for at, letter in enumerate(word) if letter in ACCENTS]
    if not places:
        return word
    at = chance.choice(places)
    return word[:at] + chance.choice(ACCENTS[word[at]]) + word[at + 1 :]


def without_accents(text: str) -> str:
    text = text.replace("ø", "o").replace("Ø", "O")
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))


def with_error(chance: random.Random, text: str) -> str:
    """One letter more, less or other, or two exchanged, in one word of five letters or more."""
    words = text.split(" ")
    long_words = [at for at, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    at = chance.choice(long_words)
    word = words[at]
    place = chance.randrange(1, len(word) - 1)
    letter = chance.choice("bcdfgklmnprst")
    words[at] = chance.choice(
        (
            word[:place] + letter + word[place:],
            word[:place] + word[place + 1 :],
            word[:place] + letter + word[place + 1 :],
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
        )
    )
    return " ".join(words)


def initials(name: Name, between: str = "", dot: str = ".") -> str:
    return between.join(f"{given[0]}{dot}" for given in (name.first, name.middle) if given)


Form = Callable[[random.Random, Name], str]

CERTAIN: dict[str, Form] = {
    "as it is": lambda _, name: name.full,
    "upper case": lambda _, name: name.full.upper(),
    "no accents": lambda _, name: without_accents(name.full),
    "surname first": lambda _, name: f"{name.surname}, {name.given}",
    "prefix last": lambda _, name: f"{name.bare}, {joined(name.given, name.prefix)}",
    "no comma": lambda _, name: joined(name.surname, name.given),
    "composed": lambda _, name: unicodedata.normalize("NFD", name.full),
    "apostrophe": lambda chance, name: name.full.replace("'", chance.choice("’‘")),
    "hyphens": lambda _, name: joined(name.given.replace(" ", "-"), name.surname),
}

POSSIBLE: dict[str, Form] = {
    "initials": lambda chance, name: joined(initials(name, chance.choice(("", " "))), name.surname),
    "initials, no dots": lambda _, name: joined(initials(name, " ", ""), name.surname),
    "initials in one": lambda _, name: joined(initials(name, "", ""), name.surname),
    "initials behind": lambda _, name: f"{name.bare}, {joined(initials(name), name.prefix)}",
    "first initial": lambda _, name: joined(f"{name.first[0]}.", name.surname),
    "short prefix": lambda chance, name: joined(
        name.given, chance.choice(SHORT.get(name.prefix, (name.prefix,))), name.bare
    ),
    "short prefix, initials": lambda chance, name: joined(
        initials(name), chance.choice(SHORT.get(name.prefix, (name.prefix,))), name.bare
    ),
    "no prefix": lambda _, name: joined(name.given, name.bare),
    "no middle name": lambda _, name: joined(name.first, name.surname),
    "middle name": lambda _, name: joined(name.given, "Willem", name.surname),
    "order": lambda _, name: joined(name.middle, name.first, name.surname),
    "error": lambda chance, name: with_error(chance, name.full),
    "error, surname first": lambda chance, name: with_error(chance, f"{name.surname}, {name.given}"),
    "one surname": lambda _, name: joined(name.given, name.prefix, name.last),
    "other surname": lambda _, name: joined(
        name.given, name.other_prefix or name.prefix, name.other_last or name.last
    ),
    "surname added": lambda _, name: f"{name.full}-Smit",
    "in one word": lambda _, name: joined(name.given, name.surname.replace(" ", "")),
}
"""Some are certain for a name that has no prefix, middle name or second surname."""


def namesakes(name: Name) -> list[str]:
    """Others who are nearly the person."""
    return [
        joined("Willemijn", name.surname),
        joined(f"Bo-{name.first}", name.surname),
        joined(name.given, name.prefix, "Zonneveld"),
        joined("X.", name.surname),
        joined(f"A.{name.first[0]}.", name.surname),
        joined(name.given, "van de", name.bare) if name.prefix else joined(name.given, "de", name.bare),
        f"{joined('Kees', name.surname)} en {joined(name.first, 'Zonneveld')}",
        joined(name.first, "en", "Kees", name.surname),
    ]
