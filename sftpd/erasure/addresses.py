"""Dutch addresses: a postcode with a number of a house there, in one text or in several fields of a record.

Known as `3581cd 12-a`: postcode, number, and what is added to it. In a text the number stands right before
or behind the postcode. In a record it stands under a label that says so, at the end of a street's line, or at
the end of a text beside the postcode. A house with another addition is another house.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from sftpd.erasure.finder import BLANK_LINE, LONGEST_FIELD, Field, Finder, Hint, RecordFinder, Why

POSTCODE_LETTERS = r"\s{0,2}[a-z]{2}"
"""What stands behind the four digits of a postcode."""

_BEFORE = r"(?<![^\W_])(?<![0-9][-/.,\s])(?<![0-9][a-z][-/\s])"
"""What may not stand before a number: then it is what is added to another, or one of several."""
_BETWEEN = r"[\s,;:|(]{1,4}(?:nl[\s-]{1,2})?"
_BEHIND = r"[\s,;:/|_.-]{0,3}(?:(?:huis)?(?:nummer|nr|no)\.?\s?)?"
_WORDS = "[a-z]|bis|hs|huis|zw|rd|boven|beneden|achter|links|rechts|i{1,3}|iv|v|to|toev"
_NO_ADDITION = rf"(?![^\W_]|[-/.:][^\W_]|,[0-9]|\s?[-/]\s?[0-9]|\s[0-9]|\s?[-/]?\s?(?:{_WORDS})(?![^\W_]))"
_HOUSE = r"0*([1-9][0-9]{0,4})(?:\.0+)?(?:(?:[\s/-]{1,3}|(?=[a-z]))([a-z0-9][a-z0-9\s/-]{0,9}))?"
_VALUE = re.compile(rf"(?:nl[\s-])?([1-9][0-9]{{3}})\s{{0,2}}([a-z]{{2}})[\s,;:/_-]{{0,3}}{_HOUSE}")
_FIELD = re.compile(rf"\s*{_HOUSE}\s*")
_REACH = 100
"""Characters between a postcode and a number that may belong to it."""

_NUMBER = r"(?:nummer|number|nr|no|num)"
_PART = r"[\s_.-]*"
_ADDITION_LABEL = re.compile(
    rf"(?:(?:huis|house|building){_PART})?(?:{_NUMBER}{_PART})?(?:toevoeging|toev|letter|addition|suffix|extension)\.?"
)
_HOUSE_LABEL = re.compile(rf"(?:huis|house|building){_PART}{_NUMBER}(?![^\W_])|hnr\b|huisnr")
_STREET_LABEL = re.compile(r"straat|street|adres|address|addr|adr\b|line|regel")


class _House(NamedTuple):
    number: str
    addition: str


class _Forms(NamedTuple):
    """What finds an address: the postcode, the number beside it, behind a street and by itself."""

    house: _House
    postcode: re.Pattern[str]
    beside: re.Pattern[str]
    street: re.Pattern[str]
    alone: re.Pattern[str]
    hint: Hint


def address(value: str) -> str | None:
    """The normal form of a folded address; None where it is none."""
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    digits, letters, number, addition = found.groups()
    return f"{digits}{letters} {number}" + (f"-{added}" if (added := _packed(addition)) else "")


def postcode_of(value: str) -> str:
    """The postcode of an address in its normal form."""
    return value.partition(" ")[0]


def certain_address(value: str) -> tuple[Finder, Hint, RecordFinder]:
    """The finder of an address in its normal form."""
    forms = _forms(value)

    def found(text: str, _label: str) -> bool:
        return forms.beside.search(text) is not None

    def found_in_record(fields: Sequence[Field]) -> bool:
        places = _places(forms, fields)
        return bool(places) and (
            forms.house in _labelled(fields)
            or any(
                forms.street.fullmatch(text)
                for at, (label, text) in enumerate(fields)
                if _STREET_LABEL.search(_own(label)) or not places.isdisjoint((at - 1, at + 1))
            )
        )

    return found, forms.hint, found_in_record


def possible_addresses(value: str) -> Mapping[Why, tuple[Finder, Hint, RecordFinder]]:
    """The finders of what only may be the address: another addition, or a number that may be another's."""
    forms = _forms(value)

    def found(text: str, _label: str) -> bool:
        return any(forms.alone.search(around) for around in _around(forms.postcode, text))

    def found_in_record(fields: Sequence[Field]) -> bool:
        if not _places(forms, fields):
            return False
        if houses := list(_labelled(fields)):
            return any(house.number == forms.house.number for house in houses)
        streets = [text for label, text in fields if _STREET_LABEL.search(_own(label)) and _has_digit(text)]
        told = streets or [text for _, text in fields if len(text) <= LONGEST_FIELD]
        return any(forms.alone.search(text) for text in told)

    return {Why.HOUSE: (found, forms.hint, found_in_record)}


@lru_cache(maxsize=64)
def _forms(value: str) -> _Forms:
    postcode, _, said = value.partition(" ")
    number, _, addition = said.partition("-")
    at = rf"{postcode[:4]}\s{{0,2}}{postcode[4:]}"
    core, after = number, _NO_ADDITION
    if addition:
        parts = re.findall("[a-z]+|[0-9]+", addition)
        core += (r"[\s/-]{1,3}" if parts[0].isdigit() else r"[\s/-]{0,3}") + r"[\s/-]{0,3}".join(parts)
        after = r"(?![^\W_])"
    every = re.compile(at)
    return _Forms(
        _House(number, addition),
        re.compile(rf"(?<![^\W_]){at}(?![^\W\d_])"),
        re.compile(
            rf"(?<![^\W_]){at}(?![^\W\d_]){_BEHIND}{core}{after}|{_BEFORE}{core}{_BETWEEN}{at}(?![^\W\d_])"
        ),
        re.compile(rf"\s*[^\W\d_]{{2}}.{{0,{LONGEST_FIELD}}}{_BEFORE}{core}\s*", re.DOTALL),
        re.compile(rf"(?<![^\W_]){number}(?![0-9]|[-/.:,][0-9]{{2}})"),
        lambda text: every.search(text) is not None,
    )


def _places(forms: _Forms, fields: Sequence[Field]) -> set[int]:
    """Which fields have the postcode."""
    return {
        at
        for at, (_, text) in enumerate(fields)
        if len(text) <= LONGEST_FIELD and forms.postcode.search(text) is not None
    }


def _labelled(fields: Sequence[Field]) -> Iterator[_House]:
    """The houses that labels tell, with the additions under labels of their own."""
    additions = "".join(
        _packed(text)
        for label, text in fields
        if len(text) <= LONGEST_FIELD and _ADDITION_LABEL.fullmatch(_own(label))
    )
    for label, text in fields:
        own = _own(label)
        if _HOUSE_LABEL.match(own) and not _ADDITION_LABEL.fullmatch(own):
            found = _FIELD.fullmatch(text)
            if found is not None:
                yield _House(found[1], _packed(found[2]) + additions)


def _packed(addition: str | None) -> str:
    """What is added to a number, without what parts it; a field without a value says so in many ways."""
    packed = re.sub(r"[\s/-]", "", addition or "")
    return "" if packed in ("null", "none") else packed


def _own(label: str) -> str:
    """A label without what it is in."""
    return label.rpartition(".")[2].strip()


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _around(postcode: re.Pattern[str], text: str) -> Iterator[str]:
    """What stands around each postcode in its paragraph."""
    for found in postcode.finditer(text):
        before = text[max(0, found.start() - _REACH) : found.start()]
        yield BLANK_LINE.split(before)[-1]
        yield BLANK_LINE.split(text[found.end() : found.end() + _REACH])[0]
