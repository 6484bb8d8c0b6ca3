"""Tokens: what stands in an index for an identifier, and all those that a text could be asked for.

Whenever an identifier or a written variant of it matches a text, one of its tokens is among those of the
text. There may be others: who finds a token reads the text again.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from operator import mul

from sftpd.erasure.identifiers import (
    AFTER_EMAIL,
    BEFORE_EMAIL,
    LOCAL_PART,
    LONGEST,
    NUMBER_WORD,
    NUMBER_WORDS,
    Identifier,
)
from sftpd.erasure.variants import mailbox

SIZE = 16
"""Bytes of a token."""

LIMIT = 4_000_000
"""Tokens of one file; a file with more is not indexed."""

KINDS = frozenset({"bsn", "email", "iban", *NUMBER_WORDS})
"""The types of identifiers that have tokens; of others there are too many written variants."""

_LOCAL_PARTS = re.compile(rf"@([^\s@,;:<>()\[\]\"\\]{{0,{2 * LOCAL_PART}}}+)")
"""What stands before each `@` of a text that is turned round."""
_PLAIN_LOCAL_PART = re.compile(r"[^\W_](?:[\w+'&~-]|\.(?!\.))*+")
_DOMAINS = re.compile(rf"@([\w.-]{{0,{LONGEST}}}+)")
_PLAIN_DOMAIN = re.compile(r"[^\W_]++(?:[.-][^\W_]++)*+")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W_](?:[\w-]*[^\W_])?")

# A search is quick where it begins with plain characters: what stands before them is looked at next.
_DIGITS = re.compile(r"([0-9](?<!\w.)(?:[\s().\-/]{0,3}+[0-9]){7,}+)(?=([-./]?\w)?)")
"""Eight digits or more with gaps, and what keeps a number from ending there."""
_GROUP = re.compile(r"[0-9]+")
_BSN_GAP = re.compile(r"[\s.]")
_TYING = frozenset("-./")
"""What between two digits makes them one number."""
_FEWEST_DIGITS, _MOST_DIGITS = 8, 9
_BSN_WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)
_BSN_SHIFT = ord("0") * sum(_BSN_WEIGHTS)

_IBAN = re.compile(
    r"[0-9](?<![^a-z\s.\-].)(?:"
    r"(?<=(?<!\w)([a-z][a-z].))|(?<=(?<!\w)([a-z][\s.\-][a-z].))"
    r"|(?<=(?<!\w)([a-z][a-z][\s.\-].))|(?<=(?<!\w)([a-z][\s.\-][a-z][\s.\-].)))"
    r"(?=([\s.\-]?[0-9](?:[\s.\-]?[a-z0-9]){11,30}+\w?))",
    re.DOTALL,
)
"""What may be an IBAN, found by its first digit: four ways to write what is up to there, and the rest."""
_IBAN_END = re.compile(r"(?<=[a-z0-9])(?!\w)")
_IBAN_GAP = re.compile(r"[\s.\-]")
_IBAN_DIGITS = str.maketrans({chr(letter): str(letter - 87) for letter in range(ord("a"), ord("z") + 1)})

_STEMS = tuple((kind, word) for kind, words in NUMBER_WORDS.items() for word in words)
_BEGINS_WORD = re.compile(r"(?<![^\W_])")
_LABEL_ENDS = {
    kind: re.compile(rf"(?<![^\W_])(?:{'|'.join(words)}){NUMBER_WORD}[\s:#=]*\Z")
    for kind, words in NUMBER_WORDS.items()
}
_AFTER_STEM = re.compile(NUMBER_WORD)
_BEFORE_NUMBER = re.compile(r"[\s:#=]*+")
_NUMBER = re.compile(rf"\w[\w./-]{{0,{LONGEST - 1}}}+")
_PLAIN_NUMBER = re.compile(r"\w++(?:-\w++)*+")
_NUMBER_END = re.compile(r"(?!-?\w)")


def wanted(identifier: Identifier, key: bytes) -> list[bytes] | None:
    """The tokens of which a text has one where it carries an identifier, or a written variant of it.

    `key` has 16 to 64 bytes. None for an identifier that has none.
    """
    first = token(identifier, key)
    if first is None:
        return None
    if identifier.kind != "email":
        return [first]
    box = mailbox(identifier.value)
    entries = dict.fromkeys([f"email\0{identifier.value}", f"email\0{box}", f"mailbox\0{box}"])
    return [tokens([entry], key) for entry in entries]


def token(identifier: Identifier, key: bytes) -> bytes | None:
    """The token of an identifier itself under `key`; None for one that has none."""
    if identifier.kind not in KINDS or len(identifier.value) > LONGEST:
        return None
    return tokens([f"{identifier.kind}\0{identifier.value}"], key)


def tokens(entries: Iterable[str], key: bytes) -> bytes:
    """The tokens of what `entries_in` and `number_entries` tell, one after another."""
    keyed = blake2b(digest_size=SIZE, key=key)
    return b"".join([_hashed(entry, keyed) for entry in entries])


def fields(text: str, *, lines: bool = False) -> set[str]:
    """What a text consists of, which together has the same entries: parted by what parts fields.

    With `lines` line ends part them too.
    """
    if lines:
        text = text.replace("\n", ";")
    return set(text.replace(",", ";").replace('"', ";").split(";"))


def entries_in(text: str) -> set[str]:
    """All that may identify somebody in a folded text, whatever it stands under: `kind‖0x00‖value`.

    The text may be many fields, parted by what parts the fields of CSV or JSON.
    """
    entries: set[str] = set()
    if "@" in text:
        for address in _addresses(text):
            entries.add(f"email\0{address}")
            box = mailbox(address)
            if box != address:
                entries.add(f"mailbox\0{box}")
    for chain, after in set(_DIGITS.findall(text)):
        if not chain.isdigit():
            _enter_parted(entries, chain, after)
        elif not after or after[0] in _TYING:
            _enter_bsn(entries, chain)
    for found in set(_IBAN.findall(text)):
        entries.update(f"iban\0{iban}" for iban in _ibans("".join(found)))
    return entries


def number_entries(text: str, label: str = "") -> set[str]:
    """The customer and employee numbers in a folded text under a folded label, as `entries_in` tells them."""
    told = f"{label}: {text}"
    entries: set[str] = set()
    for kind, word in _STEMS:
        start = told.find(word)
        while start >= 0:
            end = start + len(word)
            if _BEGINS_WORD.match(told, start):
                entries.update(f"{kind}\0{number}" for number in _after(told, end))
            start = told.find(word, end)
    return entries


def names_numbers(text: str) -> bool:
    """Whether a folded text has a word by which customer or employee numbers are told."""
    return any(word in text for _, word in _STEMS)


def labels_numbers(label: str) -> str | None:
    """The type of the numbers that stand under a folded label, None for any other label."""
    return next((kind for kind, end in _LABEL_ENDS.items() if end.search(label)), None)


def _hashed(entry: str, keyed: blake2b) -> bytes:
    try:
        encoded = entry.encode()
    except UnicodeEncodeError:
        # Half a character, which JSON may name; to allow for it always is slow.
        encoded = entry.encode("utf-8", "surrogatepass")
    mine = keyed.copy()
    mine.update(encoded)
    return mine.digest()


def _addresses(text: str) -> Iterator[str]:
    turned = _LOCAL_PARTS.findall(text[::-1])
    turned.reverse()
    for local, domain in set(zip(turned, _DOMAINS.findall(text), strict=True)):
        domains = _domains(domain) if local and "." in domain else ()
        if domains:
            for name in _local_parts(local[::-1]):
                for end in domains:
                    yield f"{name}@{domain[:end]}"


def _local_parts(run: str) -> Iterator[str]:
    """What may stand before the `@` of an address where no more than `run` may."""
    if len(run) <= LOCAL_PART and _PLAIN_LOCAL_PART.fullmatch(run):
        yield run
        return
    for start in range(max(0, len(run) - LOCAL_PART), len(run)):
        before = BEFORE_EMAIL.search(run[max(0, start - LOCAL_PART) : start])
        if not (before and any(map(str.isalnum, before[0].rpartition("..")[2]))):
            yield run[start:]


@lru_cache(1000)
def _domains(run: str) -> tuple[int, ...]:
    """The lengths at which a run of its characters may be read as a domain."""
    plain = _PLAIN_DOMAIN.fullmatch(run.removesuffix("."))
    ends = [plain.end()] if plain else range(1, len(run) + 1)
    return tuple(end for end in ends if not AFTER_EMAIL.match(run, end) and _DOMAIN.fullmatch(run, 0, end))


def _enter_parted(entries: set[str], chain: str, after: str) -> None:
    """Enter what are BSNs in a chain of digits and gaps; `after` is what keeps one from ending with it."""
    groups = [group.span() for group in _GROUP.finditer(chain)]
    gaps = [chain[left:right] for (_, left), (right, _) in pairwise(groups)]
    for first in range(len(groups)):
        if first and gaps[first - 1] == ".":
            continue
        digits = ""
        for last in range(first, len(groups)):
            digits += chain[slice(*groups[last])]
            tied = last > first and not _BSN_GAP.fullmatch(gaps[last - 1])
            if tied or len(digits) > _MOST_DIGITS:
                break
            if last < len(gaps) or not after or after[0] in _TYING:
                _enter_bsn(entries, digits)


def _enter_bsn(entries: set[str], digits: str) -> None:
    if _FEWEST_DIGITS <= len(digits) <= _MOST_DIGITS:
        number = digits.zfill(_MOST_DIGITS)
        if (sum(map(mul, _BSN_WEIGHTS, number.encode())) - _BSN_SHIFT) % 11 == 0:
            entries.add(f"bsn\0{number}")


def _ibans(found: str) -> Iterator[str]:
    for end in _IBAN_END.finditer(found):
        iban = _IBAN_GAP.sub("", found[: end.start()])
        if 15 <= len(iban) <= 34 and int((iban[4:] + iban[:4]).translate(_IBAN_DIGITS)) % 97 == 1:
            yield iban


def _after(text: str, stem: int) -> Iterator[str]:
    """What may be a number behind a word that ends at `stem`, or behind a further word there."""
    further = _AFTER_STEM.match(text, stem)
    for start in {stem, further.end() if further else stem}:
        before = _BEFORE_NUMBER.match(text, start)
        run = _NUMBER.match(text, before.end() if before else start)
        if run is None:
            continue
        ends = (end.start() for end in _NUMBER_END.finditer(run[0], 1))
        for end in (len(run[0]),) if _PLAIN_NUMBER.fullmatch(run[0]) else ends:
            number = run[0][:end]
            if any(map(str.isdigit, number)):
                yield number
