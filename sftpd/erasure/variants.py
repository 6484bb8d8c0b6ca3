"""The forms of an identifier that only may be the person; those of names have a module of their own."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from sftpd.erasure.addresses import possible_addresses
from sftpd.erasure.births import possible_births
from sftpd.erasure.finder import Finder, Hint, RecordFinder, Why
from sftpd.erasure.names import possible_names
from sftpd.erasure.number_words import possible_numbers

AFTER_ADDRESS = r"(?:\.|-++|_)?[^\W_]|@"
"""What may not stand after an e-mail address."""
_TAG = r"(?:\+[^\s@,;:<>()\[\]\"\\]{1,64})?"
TAGGED_DOMAINS = ("gmail.com", "googlemail.com")
"""Domains at which dots in a local part count for nothing, and that are one."""
_GAP = r"[^\w]{0,3}"
_SHORT_CODES = re.compile(r"\+(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3})(\d+)")
"""A country's code and the rest of a number (ITU-T E.164)."""


def _address_forms(value: str) -> Mapping[Why, tuple[Finder, Hint]]:
    """Another tag or none (RFC 5233), and other dots where they count for nothing."""
    local, _, domain = value.rpartition("@")
    base = local.partition("+")[0] or local
    said, at = re.escape(base), re.escape(domain)
    if domain in TAGGED_DOMAINS:
        said, at = r"\.?".join(map(re.escape, base.replace(".", ""))), "(?:g|google)mail\\.com"
    form = re.compile(rf"(?<![\w.+'&~-])(?=[^\s@]{{1,64}}@){said}{_TAG}@{at}(?!{AFTER_ADDRESS})")
    # Without either there is no need for the slow search.
    marks = ("mail.com",) if domain in TAGGED_DOMAINS else (base, f"@{domain}")

    def may(text: str) -> bool:
        return all(mark in text for mark in marks) and form.search(text) is not None

    return {Why.ADDRESS: (lambda text, _label: may(text), may)}


def mailbox(address: str) -> str:
    """What the forms of a folded e-mail address have in common."""
    local, _, domain = address.rpartition("@")
    base = local.partition("+")[0] or local
    if domain in TAGGED_DOMAINS:
        base, domain = base.replace(".", ""), TAGGED_DOMAINS[0]
    return f"{base}@{domain}"


def _number_forms(value: str) -> Mapping[Why, tuple[Finder, Hint]]:
    """The digits after the country's code, with or without it or a leading zero, parted in any way."""
    taken = _SHORT_CODES.fullmatch(value)
    if taken is None:
        return {}
    code, rest = (_GAP.join(digits) for digits in taken.groups())
    form = re.compile(rf"(?<!\d)(?:(?:\+|00)?{_GAP}{code}{_GAP})?(?:\(?0\)?{_GAP})?{_GAP}{rest}(?!\d)")
    digits = re.compile(rest)

    def may(text: str) -> bool:
        return digits.search(text) is not None

    return {Why.NUMBER: (lambda text, _label: may(text) and form.search(text) is not None, may)}


Forms = Mapping[Why, tuple[Finder, Hint] | tuple[Finder, Hint, RecordFinder]]
"""What finds the possible forms of an identifier."""

_FORMS: Mapping[str, Callable[[str], Forms]] = {
    "address": possible_addresses,
    "born": possible_births,
    "customer": possible_numbers("customer"),
    "email": _address_forms,
    "employee": possible_numbers("employee"),
    "name": possible_names,
    "phone": _number_forms,
}


@lru_cache(maxsize=64)
def possible_forms(kind: str, value: str) -> Forms:
    """The finders of the possible forms of an identifier, which find certain forms too."""
    return _FORMS[kind](value) if kind in _FORMS else {}
