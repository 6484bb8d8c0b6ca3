"""What one file holds of a person: records that are hers for certain, and records that only may be."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from sftpd.erasure.finder import Field, Why
from sftpd.erasure.formats.model import (
    NAME_OF_PART,
    Data,
    Findings,
    Format,
    Inquiry,
    UnsearchableError,
    is_gone,
)
from sftpd.erasure.identifiers import Identifier, possible
from sftpd.erasure.plan import Possible

_TRIED = 50
"""Possible matches of a file that are tried one by one."""


class _Watch:
    """The possible forms of identifiers as one identifier, and which of them were met."""

    def __init__(self, known: Sequence[Identifier]) -> None:
        self._groups = [forms for each in known if (forms := possible(each))]
        self.forms = [form for forms in self._groups for form in forms]
        self.met: set[str] = set()
        self.any = Identifier("possible", "", self._found, self._may, self._found_in_record)

    def by_why(self) -> Mapping[Why, Sequence[Identifier]]:
        """The forms of each kind that was met, in the order in which they are told."""
        return {why: [form for form in self.forms if form.kind == why] for why in Why if why in self.met}

    def _may(self, text: str) -> bool:
        return any(forms[0].may_be_in(text) for forms in self._groups)

    def _found(self, text: str, label: str) -> bool:
        for forms in self._groups:
            if forms[0].may_be_in(text):  # as all forms of one identifier may
                for form in forms:
                    if form.matches_folded(text, label):
                        self.met.add(form.kind)
                        return True
        return False

    def _found_in_record(self, fields: Sequence[Field]) -> bool:
        met = next((form.kind for form in self.forms if form.matches_record(fields)), None)
        self.met |= {met} if met else set()
        return met is not None


def find_both(form: Format, data: Data, inquiry: Inquiry) -> tuple[Findings, list[Possible]]:
    """Return what must go, and of the rest the records in which there is a possible form.

    Most files are read once: only one with a possible form is read again, to tell what is what. Raises
    UnsearchableError.
    """
    watch = _Watch(inquiry.identifiers)
    try:
        findings = form.find(data, replace(inquiry, identifiers=[*inquiry.identifiers, watch.any]))
    except UnsearchableError as fault:
        if not watch.met:
            raise
        findings = form.find(data, inquiry.again())
        return _untold(findings, fault.what), []
    if not watch.met:
        return findings, []
    if any(NAME_OF_PART in place for place in findings.locators):
        form.find(data, replace(inquiry.again(), identifiers=[watch.any], apart=True))
    findings = form.find(data, inquiry.again())
    if findings.whole:
        return findings, []
    try:
        return _beside(form, data, inquiry, findings, watch)
    except UnsearchableError as fault:
        return _untold(findings, fault.what), []


def _beside(
    form: Format, data: Data, inquiry: Inquiry, findings: Findings, watch: _Watch
) -> tuple[Findings, list[Possible]]:
    """The records with a possible form that do not go with what `findings` takes."""
    found: dict[str, Possible] = {}
    certain = frozenset(findings.locators)
    for why, forms in watch.by_why().items():
        try:
            hits = form.find(data, replace(inquiry.again(), identifiers=forms, apart=True))
        except UnsearchableError as fault:
            findings = _untold(findings, fault.what)
            continue
        for place in hits.locators:
            if not is_gone(place, certain):
                found.setdefault(place, Possible(place, why, hits.whole))

    def taken(places: Iterable[str]) -> Findings:
        by_place = replace(inquiry.again(), places=frozenset(places), possible=watch.forms)
        return form.find(data, by_place)

    if not found:
        return findings, []
    together = _gone(found, taken(found))
    # One that lies in another is not told of where both go.
    alone = (each for each in found if each not in together)
    apart = {each for each in islice(alone, _TRIED) if _gone([each], taken([each]))}
    kept = [each for each in found.values() if each.place in together | apart]
    if len(kept) < len(found) and not findings.locators:
        findings = _untold(findings, "a record that may be the person's cannot be taken out by itself")
    return findings, kept


def _gone(places: Iterable[str], taken: Findings) -> set[str]:
    """Which of these places go with what is taken."""
    locators = frozenset(taken.locators)
    return {place for place in places if taken.whole or is_gone(place, locators)}


def _untold(findings: Findings, reason: str) -> Findings:
    return replace(findings, unsearched=[*findings.unsearched, f"written variants: {reason}"])


def carried(form: Format, data: Data, inquiry: Inquiry) -> tuple[int, ...]:
    """The numbers of the identifiers that are in a file for certain, by one reading of it.

    Raises UnsearchableError.
    """
    left = dict(enumerate(inquiry.identifiers))

    def meet(met: Callable[[Identifier], bool]) -> bool:
        for number in [number for number, each in left.items() if met(each)]:
            del left[number]
        return False

    def never(text: str, label: str) -> bool:
        return meet(lambda each: each.matches_folded(text, label))

    def never_together(fields: Sequence[Field]) -> bool:
        return meet(lambda each: each.matches_record(fields))

    def may(text: str) -> bool:
        return any(each.may_be_in(text) for each in left.values())

    form.find(data, replace(inquiry, identifiers=[Identifier("any", "", never, may, never_together)]))
    return tuple(number for number in range(len(inquiry.identifiers)) if number not in left)


def said_at(form: Format, data: Data, inquiry: Inquiry, places: Iterable[str]) -> list[str]:
    """What the records at `places` say, in the order of the file; nothing where it cannot be shown."""
    forms = _Watch(inquiry.identifiers).forms
    noted: list[str] = []
    form.find(data, replace(inquiry, identifiers=(), places=frozenset(places), possible=forms, noted=noted))
    return noted
