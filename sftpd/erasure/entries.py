"""Entries: all that may identify somebody in a text, each as `kind‖0x00‖value`; tokens are made of them.

Whatever an identifier or a written variant of it matches has its entry; there may be others.
"""

import re
from collections.abc import Iterator, Sequence, Set
from functools import lru_cache
from itertools import chain

from sftpd.erasure.digits import enter_chains, enter_solid
from sftpd.erasure.identifiers import (
    AFTER_EMAIL,
    BEFORE_EMAIL,
    IBAN_GAP,
    LOCAL_PART,
    LONGEST,
)
from sftpd.erasure.number_words import (
    NUMBER_GAP,
    NUMBER_WORD,
    NUMBER_WORDS,
    SHORT_WORD_END,
    SHORT_WORDS,
    TERM_BEGINS,
    has_short_words,
    names_numbers,
    number_key,
    number_keys,
)
from sftpd.erasure.revealing import quick_bytes
from sftpd.erasure.variants import TAGGED_DOMAINS, mailbox

APART = ",,,,"
"""What stands between two texts that are read as one: nothing reaches over it."""

_LOCAL_PARTS = re.compile(rf"@([^\s@,;:<>()\[\]\"\\]{{0,{2 * LOCAL_PART}}}+)")
"""What stands before each `@` of a text that is turned round."""
_PLAIN_LOCAL_PART = re.compile(r"[^\W_][\w+'&~-]*+(?:\.[\w+'&~-]++)*+\.?")
_PLAIN_LOCAL_PARTS = re.compile(rf"(?m)^(?=.{{1,{LOCAL_PART}}}$)[^\W_][\w'&~-]*+(?:\.[\w'&~-]++)*+\.?$")
"""Lines of these without a tag."""
_DOMAINS = re.compile(rf"@([\w.-]{{0,{LONGEST}}}+)")
_PLAIN_DOMAIN = re.compile(r"[^\W_]++(?:[.-][^\W_]++)*+")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W_](?:[\w-]*[^\W_])?")

# A search is quick where it begins with plain characters: what stands before them is looked at next.
_IBAN = re.compile(
    r"[0-9](?:(?<=[a-z].)|(?<=[a-z][\s.\-].))(?=[\s.\-]?[0-9](?:[\s.\-]{0,3}[a-z0-9]){11})(?:"
    r"(?<=(?<![^\W_])([a-z][a-z].))|(?<=(?<![^\W_])([a-z][\s.\-][a-z].))"
    r"|(?<=(?<![^\W_])([a-z][a-z][\s.\-].))|(?<=(?<![^\W_])([a-z][\s.\-][a-z][\s.\-].)))"
    rf"(?=([\s.\-]?[0-9](?:{IBAN_GAP}[a-z0-9]){{11,30}}+[^\W_]?))",
    re.DOTALL,
)
"""What may be an IBAN, found by its first digit: four ways to write what is up to there, and the rest."""
_IBAN_SIGNS = bytes(
    ord("a" if chr(sign).islower() else "0" if chr(sign).isdigit() else ";") for sign in range(128)
).ljust(256, b";")
"""Each ASCII character as one that stands for all that count alike in an IBAN."""
_IBAN_GAPS = b" \t\n\r\f\v\x1c\x1d\x1e\x1f.-" + bytes(range(128, 256))
_SIGNS_OF_IBAN = re.compile(rb"aa00[a0]{11}")
_IBAN_END = re.compile(r"(?<=[a-z0-9])(?![^\W_])")
_IBAN_GAP = re.compile(r"[\s.\-]")
_IBAN_DIGITS = str.maketrans({chr(letter): str(letter - 87) for letter in range(ord("a"), ord("z") + 1)})

_LABEL_END = re.compile(
    rf"(?:(?<![^\W_])(?:{'|'.join(chain.from_iterable(NUMBER_WORDS.values()))}){NUMBER_WORD}"
    rf"|{'|'.join(SHORT_WORDS.values())}){NUMBER_GAP}\Z|{SHORT_WORD_END}\Z"
)
_NUMBER = rf"{NUMBER_GAP}(\w[\w./-]{{0,{LONGEST - 1}}}+)?"
_MENTIONS = tuple(
    (kind, word, re.compile(rf"{word}(?<![^\W_]{word})(?={_NUMBER})(?={NUMBER_WORD}{_NUMBER})"))
    for kind, words in NUMBER_WORDS.items()
    for word in words
)
"""The words that tell of numbers: what stands behind each, and behind a further word there."""
_SHORT_MENTIONS = tuple((kind, re.compile(f"{words}{_NUMBER}")) for kind, words in SHORT_WORDS.items())
_PLAIN_NUMBER = r"(?=[^\d\n]*+\d)\w++(?:-\w++)*+$"
_PLAIN_NUMBERS = re.compile(rf"(?m)^{_PLAIN_NUMBER}")
"""Lines that can be read in one way."""
_PLAIN_VALUES = re.compile(rf"(?m)^(?!{TERM_BEGINS}){_PLAIN_NUMBER}")
"""The same under a label, of which a term for a number may be the end."""
_NUMBER_END = re.compile(r"(?!-?\w)")


def entries_in(text: str) -> set[str]:
    """All that may identify somebody in a folded text, whatever it stands under."""
    entries: set[str] = set()
    if "@" in text:
        _enter_addresses(entries, text)
    enter_chains(entries, text)
    if _may_have_iban(text):
        for found in set(_IBAN.findall(text)):
            entries.update(f"iban\0{iban}" for iban in _ibans("".join(found)))
    return entries


def entries_of(texts: Set[str]) -> set[str]:
    """The same of many short texts, and the numbers of people among them whose words stand beside them."""
    solid = set(filter(str.isdecimal, texts))
    others = APART.join(texts - solid)
    entries = entries_in(others)
    enter_solid(entries, solid if "".join(solid).isascii() else filter(str.isascii, solid))
    if names_numbers(others):
        entries |= number_entries(others)
    return entries


def number_entries(text: str, label: str = "") -> set[str]:
    """The customer and employee numbers in a folded text under a folded label, as `entries_in` tells them."""
    told = f"{label}: {text}"
    entries: set[str] = set()
    for kind, word, mention in _MENTIONS:
        if word in told:
            _enter_numbers(entries, kind, set(chain.from_iterable(mention.findall(told))))
    if has_short_words(told):
        for kind, mention in _SHORT_MENTIONS:
            _enter_numbers(entries, kind, set(mention.findall(told)))
    return entries


def _enter_numbers(entries: set[str], kind: str, runs: set[str]) -> None:
    """Enter what may be numbers at the starts of runs of their characters."""
    plain = set(_PLAIN_NUMBERS.findall("\n".join(runs)))
    entries.update([f"{kind}\0{key}" for key in number_keys(plain)])
    for run in runs - plain:
        entries.update([f"{kind}\0{number_key(number)}" for number in _numbers(run)])


def labelled_entries(texts: Set[str], label: str) -> set[str]:
    """The same of many folded texts under one label."""
    together = "\n".join(texts)
    plain = set() if names_numbers(together) else set(_PLAIN_VALUES.findall(together))
    kinds = {entry.partition("\0")[0] for entry in number_entries("1", label) if entry.endswith("\0" + "1")}
    keys = number_keys(plain)
    entries = {f"{kind}\0{key}" for kind in kinds for key in keys}
    return entries | number_entries(f"{APART}{label}: ".join(("", *(texts - plain))), label)


def labels_numbers(label: str) -> bool:
    """Whether a folded label, or one with what stands under it, makes a number of that."""
    return _LABEL_END.search(label) is not None


def _enter_addresses(entries: set[str], text: str) -> None:
    turned = _LOCAL_PARTS.findall(text[::-1])
    # Turned back all at once: no local part has a line end.
    runs = "\n".join(turned)[::-1]
    locals_, domains = runs.split("\n"), _DOMAINS.findall(text)
    plain = set(_PLAIN_LOCAL_PARTS.findall(runs))
    hosts = {
        domain
        for domain in set(domains)
        if domain not in TAGGED_DOMAINS and _domains(domain) == (len(domain),)
    }
    met = list(zip(locals_, domains, strict=True))
    entries.update([f"email\0{local}@{host}" for local, host in met if host in hosts and local in plain])
    for local, domain in {pair for pair in met if pair[1] not in hosts or pair[0] not in plain}:
        for end in _domains(domain) if local else ():
            for name in _local_parts(local):
                address = f"{name}@{domain[:end]}"
                box = mailbox(address)
                entries.update((f"email\0{address}", *([f"mailbox\0{box}"] if box != address else ())))


def _local_parts(run: str) -> Sequence[str]:
    """What may stand before the `@` of an address where no more than `run` may."""
    if len(run) <= LOCAL_PART and _PLAIN_LOCAL_PART.fullmatch(run):
        return (run,)
    return [run[start:] for start in range(max(0, len(run) - LOCAL_PART), len(run)) if _may_begin(run, start)]


def _may_begin(run: str, start: int) -> bool:
    """Whether an address may begin there."""
    before = BEFORE_EMAIL.search(run[max(0, start - LOCAL_PART) : start])
    return not (before and any(map(str.isalnum, before[0].rpartition("..")[2])))


@lru_cache(1000)
def _domains(run: str) -> tuple[int, ...]:
    """The lengths at which a run of its characters may be read as a domain."""
    if "." not in run:
        return ()
    plain = _PLAIN_DOMAIN.fullmatch(run.removesuffix("."))
    ends = [plain.end()] if plain else range(1, len(run) + 1)
    return tuple(end for end in ends if not AFTER_EMAIL.match(run, end) and _DOMAIN.fullmatch(run, 0, end))


def _may_have_iban(text: str) -> bool:
    """Whether anything in a folded text looks like an IBAN without its gaps; False is certain."""
    return _SIGNS_OF_IBAN.search(quick_bytes(text).translate(_IBAN_SIGNS, _IBAN_GAPS)) is not None


def _ibans(found: str) -> Iterator[str]:
    for end in _IBAN_END.finditer(found):
        iban = _IBAN_GAP.sub("", found[: end.start()])
        if 15 <= len(iban) <= 34 and int((iban[4:] + iban[:4]).translate(_IBAN_DIGITS)) % 97 == 1:
            yield iban


def _numbers(run: str) -> Sequence[str]:
    """What may be a number at the start of a run of its characters."""
    ends = [end.start() for end in _NUMBER_END.finditer(run, 1)]
    return [run[:end] for end in ends if any(map(str.isdigit, run[:end]))]
