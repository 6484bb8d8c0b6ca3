"""Typed identifiers of a person: how they are normalised, and when a text carries one.

A text carries an identifier only where it stands alone: `xjan@example.nl` and `jan@example.nl.com` are other
people than `jan@example.nl`. Texts are compared folded (Unicode NFKC, case-folded).
"""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sftpd.erasure.addresses import address, certain_address
from sftpd.erasure.births import birth, certain_birth
from sftpd.erasure.finder import Field, Finder, Hint, RecordFinder, Why
from sftpd.erasure.names import certain_name
from sftpd.erasure.number_words import FRACTION, NUMBER_WORDS, certain_number, number
from sftpd.erasure.revealing import international, revealed
from sftpd.erasure.spelling import plain
from sftpd.erasure.variants import AFTER_ADDRESS, possible_forms
from sftpd.errors import InvalidNameError, UsageError

_HOME_COUNTRY = "31"
LONGEST = 320
"""Characters of a value, at most."""
LOCAL_PART = 64
"""Characters that an address has before its `@`, at most."""
_EMAIL = re.compile(r"[^\s@,;:<>()\[\]\"\\]{1,64}@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W_](?:[\w-]*[^\W_])?")
BEFORE_EMAIL = re.compile(r"[\w.+'&~-]*+\Z")
AFTER_EMAIL = re.compile(AFTER_ADDRESS)
"""What may not stand before an address, with a letter or digit after its last two dots, nor after it."""
_SEPARATORS = re.compile(r"[\s().\-/]")
_COMMON = "qxyfczjwpbumkhvglsdoritane"
"""Letters, the most common in Dutch last."""
IBAN_GAP = r"[\s.\-]{0,3}+"
"""What may part the characters of an IBAN behind its check digits, such as the end of a line."""
_IBAN = re.compile(r"[a-z]{2}[0-9]{2}[a-z0-9]{11,30}")


def fold(text: str) -> str:
    """Return `text` as it is compared: compatible forms made one, case folded away."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


RECALLED = "recalled"
"""The kind of what stands for a person who was forgotten."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """One thing a person is known by: its kind and its normalised value, which `repr` never shows."""

    kind: str
    value: str = field(repr=False)
    _finder: Finder = field(repr=False, compare=False)
    _hint: Hint = field(repr=False, compare=False)
    _record: RecordFinder | None = field(repr=False, compare=False, default=None)
    labels: frozenset[str] = field(repr=False, compare=False, default=frozenset())
    """Labels that tell by hand of numbers of its kind."""

    def matches(self, text: str, label: str = "") -> bool:
        """Whether `text`, a field under `label` or free text, carries this identifier."""
        return self._finder(fold(text), fold(label))

    def matches_folded(self, text: str, label: str) -> bool:
        """As `matches`, for what is folded already."""
        return self._finder(text, label)

    @property
    def is_spread(self) -> bool:
        """Whether it is also looked for in several fields together."""
        return self._record is not None

    def matches_record(self, fields: Sequence[Field]) -> bool:
        """Whether folded fields of a record carry this identifier between them."""
        return self._record is not None and self._record(fields)

    def may_be_in(self, text: str) -> bool:
        """Whether any field of `text`, which is folded, may carry this identifier; False is certain."""
        return self._hint(text)

    def digest(self, key: bytes) -> str:
        """HMAC-SHA256 over `kind‖0x00‖value`, in hexadecimal."""
        return hmac.new(key, f"{self.kind}\0{self.value}".encode(), hashlib.sha256).hexdigest()

    def plain(self) -> str:
        """The form that `parse_identifier` reads; it shows the value."""
        return f"{self.kind}={self.value}"


def under(identifier: Identifier, kinds: Mapping[str, str]) -> Identifier:
    """The same identifier, found also under the labels of numbers of its kind; `kinds` has them by label."""
    labels = frozenset(fold(label) for label, kind in kinds.items() if kind == identifier.kind)
    return _under(identifier, labels, identifier.kind) if labels else identifier


def _under(identifier: Identifier, labels: frozenset[str], kind: str) -> Identifier:
    def found(text: str, label: str) -> bool:
        return identifier.matches_folded(text, label) or (
            not labels.isdisjoint(names_of(label)) and identifier.matches_folded(text, telling(kind))
        )

    return replace(identifier, _finder=found, labels=labels)


def names_of(label: str) -> tuple[str, str]:
    """A folded label, and what it is called without what it is in."""
    return label.strip(), label.rpartition(".")[2].strip()


def telling(kind: str) -> str:
    """A label that tells whose a number is."""
    return NUMBER_WORDS[kind][0]


def noting(
    identifier: Identifier,
    note: Callable[[str, str], None],
    note_record: Callable[[Sequence[Field]], None],
) -> Identifier:
    """The same identifier, which has each text with its label, and each record, that carries it noted."""

    def found(text: str, label: str) -> bool:
        hit = identifier.matches_folded(text, label)
        if hit:
            note(text, label)
        return hit

    def found_in_record(fields: Sequence[Field]) -> bool:
        hit = identifier.matches_record(fields)
        if hit:
            note_record(fields)
        return hit

    return replace(identifier, _finder=found, _record=found_in_record if identifier.is_spread else None)


def recalled(knows: Finder, knows_record: RecordFinder | None) -> Identifier:
    """What stands for a person of whom only is known which texts, and which records if any, carried them."""
    return Identifier(RECALLED, "", knows, lambda _text: True, knows_record)


def possible(identifier: Identifier) -> list[Identifier]:
    """The forms of an identifier that only may be the person; the kind of each is the Why of it."""
    forms = possible_forms(identifier.kind, identifier.value)
    found = [Identifier(why, identifier.value, *finder) for why, finder in forms.items()]
    if identifier.labels:
        return [_under(form, identifier.labels, identifier.kind) for form in found]
    if identifier.kind == "name" and found:
        found.append(_in_fields(identifier, found))
    return found


def _in_fields(name: Identifier, forms: Sequence[Identifier]) -> Identifier:
    """A name, or a form of it, whose words are in several fields of a record."""

    def matches(text: str) -> bool:
        return any(form.matches_folded(text, "") for form in (name, *forms))

    def found(fields: Sequence[Field]) -> bool:
        texts = [text for _, text in fields]
        text = " ".join(texts)
        # Where one field has it all, that field is the place.
        return forms[0].may_be_in(text) and matches(text) and not any(map(matches, texts))

    return Identifier(Why.FIELDS, name.value, lambda _text, _label: False, forms[0].may_be_in, found)


def carries(identifiers: Iterable[Identifier], text: str, label: str = "") -> bool:
    """Whether `text`, under the column or key `label`, carries any of the identifiers."""
    known, label = list(identifiers), fold(label)
    return any(
        identifier.matches_folded(text, label) for text in readings(fold(text)) for identifier in known
    )


def readings(text: str) -> tuple[str, ...]:
    """A folded text as it stands, and as it is seen where it has escapes."""
    plain = revealed(text)
    return (text,) if plain is None else (text, fold(plain))


def record_carries(identifiers: Iterable[Identifier], fields: Iterable[Field]) -> bool:
    """Whether fields of a record, labels and texts, carry any of the identifiers between them."""
    spread = [identifier for identifier in identifiers if identifier.is_spread]
    if not spread:
        return False
    folded = [(fold(label), fold(text)) for label, text in fields]
    seen = [(label, readings(text)[-1]) for label, text in folded]
    told = [folded] if seen == folded else [folded, seen]
    return any(identifier.matches_record(each) for each in told for identifier in spread)


def parse_identifier(raw: str) -> Identifier:
    """Read `TYPE=VALUE`, such as `email=jan@example.nl`.

    Raises UsageError for an unknown type and InvalidNameError for a value that cannot be of its type; neither
    repeats the value.
    """
    kind, separator, value = raw.partition("=")
    if not separator or kind not in _KINDS:
        raise UsageError(
            "an identifier is written TYPE=VALUE", expected=f"a TYPE among {', '.join(sorted(_KINDS))}"
        )
    normalise, finder, form = _KINDS[kind]
    normal = normalise(fold(value).strip()) if len(value) <= LONGEST else None
    if not normal:
        raise InvalidNameError(f"the value is not a valid {kind}", where="identifier", expected=form)
    return Identifier(kind, normal, *finder(normal))


def _email(value: str) -> str | None:
    value = fold(international(value))
    return value if _EMAIL.fullmatch(value) else None


def _email_finder(value: str) -> tuple[Finder, Hint]:
    def stands_alone(text: str, start: int) -> bool:
        before = BEFORE_EMAIL.search(text[max(0, start - LOCAL_PART) : start])
        run = before.group().rpartition("..")[2] if before else ""
        return not any(map(str.isalnum, run)) and not AFTER_EMAIL.match(text, start + len(value))

    def found(text: str, _label: str) -> bool:
        start = text.find(value)
        while start >= 0 and not stands_alone(text, start):
            start = text.find(value, start + 1)
        return start >= 0

    return found, lambda text: value in text


def _phone(value: str) -> str | None:
    digits = _SEPARATORS.sub("", value.replace("(0)", ""))
    if digits.startswith("+"):
        digits = digits[1:]
    elif digits.startswith("00"):
        digits = digits[2:]
    elif digits.startswith("0"):
        digits = _HOME_COUNTRY + digits[1:]
    else:
        return None
    fits = digits.isascii() and digits.isdigit() and not digits.startswith("0") and 8 <= len(digits) <= 15
    return "+" + digits if fits else None


def _phone_finder(value: str) -> tuple[Finder, Hint]:
    """National numbers are read as Dutch; a number without any prefix is not taken for a telephone number."""
    gap = r"[\s().\-/]{0,3}"
    international = rf"(?:\+|00)?{gap}{gap.join(value[1:])}"
    forms, every = [international], gap.join(value[1:])
    if value.startswith("+" + _HOME_COUNTRY):
        national = every = gap.join(value[1 + len(_HOME_COUNTRY) :])
        forms = [rf"(?:(?:\+|00)?{gap}{gap.join(_HOME_COUNTRY)}{gap}0?|0){gap}{national}"]
    return _pattern_finder(r"(?<![\w+])(?<!\d[-./])", f"(?:{'|'.join(forms)})", r"(?![-./]?\w)", every)


def _bsn(value: str) -> str | None:
    digits = re.sub(r"[\s.]", "", value).zfill(9)
    if len(digits) != 9 or not (digits.isascii() and digits.isdigit()) or digits == "0" * 9:
        return None
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    sound = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11 == 0
    return digits if sound else None


def _bsn_finder(value: str) -> tuple[Finder, Hint]:
    """A number column may have lost its leading zero; an amount such as `123456782,50` is no BSN."""
    digits = every = r"[\s.-]?".join(value)
    if value.startswith("0"):
        digits, every = "(?:" + digits.replace("0", "0?", 1) + ")", r"[\s.-]?".join(value[1:])
    before = r"(?:(?<![^\W_])|(?<=bsn))(?<!\d\.)"
    return _pattern_finder(before, digits, rf"(?![^\W_])(?!{FRACTION}\d{{1,2}}(?!\d))", every)


def _iban(value: str) -> str | None:
    packed = re.sub(r"[\s.\-]", "", value)
    if _IBAN.fullmatch(packed) is None:
        return None
    number = "".join(str(int(character, 36)) for character in packed[4:] + packed[:4])
    return packed if int(number) % 97 == 1 else None


def _iban_finder(value: str) -> tuple[Finder, Hint]:
    characters = r"[\s.\-]?".join(value[:4]) + IBAN_GAP + IBAN_GAP.join(value[4:])
    rarest = min(range(4, 8), key=lambda place: _COMMON.find(value[place]))
    return _pattern_finder(r"(?<![^\W_])", characters, r"(?![^\W_])", IBAN_GAP.join(value[rarest:]))


def _name(value: str) -> str | None:
    words = " ".join(value.split())
    return words if len(words) > 1 and any(map(str.isalpha, plain(words))) else None


def _born(value: str) -> str | None:
    taken = birth(value)
    name = taken and _name(taken[0])
    return f"{name} {taken[1]}" if taken and name else None


def _pattern_finder(before: str, core: str, after: str, every: str | None = None) -> tuple[Finder, Hint]:
    """A finder for `core` with what must not stand around it; without that it is the hint.

    Unless `every` is: what every match has in it, which is faster to find where it begins with a character.
    """
    alone, anywhere = re.compile(before + core + after), re.compile(every or core)
    return lambda text, _label: alone.search(text) is not None, lambda text: anywhere.search(text) is not None


_Found = tuple[Finder, Hint] | tuple[Finder, Hint, RecordFinder]
_KINDS: dict[str, tuple[Callable[[str], str | None], Callable[[str], _Found], str]] = {
    "address": (address, certain_address, "a Dutch postcode and number such as 3581 CD 12-a"),
    "born": (_born, certain_birth, "a name and date of birth such as Jan de Vries 1980-05-17"),
    "bsn": (_bsn, _bsn_finder, "9 digits that pass the eleven test"),
    "customer": (number, certain_number("customer"), "a customer number"),
    "email": (_email, _email_finder, "an address such as name@example.nl"),
    "employee": (number, certain_number("employee"), "an employee number"),
    "iban": (_iban, _iban_finder, "an IBAN whose check digits are right"),
    "name": (_name, certain_name, "a name of at least two characters"),
    "phone": (_phone, _phone_finder, "a number such as +31612345678 or 0612345678"),
}
"""For each type: how to normalise a folded value, how to find it, and what a valid one looks like."""
