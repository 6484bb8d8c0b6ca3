"""The words of a certificate on paper, in each language (pure)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Language(StrEnum):
    """What a certificate can be printed in (ISO 639-1)."""

    EN = "en"
    NL = "nl"


class Text(NamedTuple):
    """A text in each language; `{names}` stand for values."""

    en: str
    nl: str

    def say(self, language: Language, **values: object) -> str:
        """The text in a language with its values."""
        text: str = getattr(self, language)
        return text.format(**values)


TEXTS: Mapping[str, Text] = {
    "title": Text("Certificate of erasure", "Verklaring van verwijdering"),
    "about": Text(
        "Issued by {issuer} for link {link}, request {request}, on {issued}",
        "Afgegeven door {issuer} voor koppeling {link}, verzoek {request}, op {issued}",
    ),
    "asked": Text("What was asked", "Wat is gevraagd"),
    "asked_when": Text(
        "To remove one person. Received on {received}, to be answered by {due}. The person was searched for"
        " by these identifiers, of which only types and keyed digests stand here.",
        "Eén persoon te verwijderen. Ontvangen op {received}, te beantwoorden voor het einde van {due}. De"
        " persoon is gezocht op deze kenmerken, waarvan hier alleen soort en versleutelde afdruk staan.",
    ),
    "type": Text("type", "soort"),
    "digest": Text("digest (HMAC-SHA256)", "afdruk (HMAC-SHA256)"),
    "done": Text("What was searched, found and removed", "Wat is doorzocht, gevonden en verwijderd"),
    "folder": Text("folder", "map"),
    "searched": Text("files searched", "doorzochte bestanden"),
    "found": Text("with the person", "met de persoon"),
    "deleted": Text("deleted", "verwijderd"),
    "redacted": Text("rewritten without", "herschreven zonder"),
    "records": Text("records removed", "verwijderde gegevens"),
    "kept": Text("kept", "behouden"),
    "unsearchable": Text("not searchable", "niet doorzoekbaar"),
    "all": Text("in all", "totaal"),
    "others": Text("{count} others", "{count} andere"),
    "formats": Text("Removed by format: {formats}.", "Verwijderd per bestandsformaat: {formats}."),
    "format": Text("{name} {files} files ({records})", "{name} {files} bestanden ({records})"),
    "unnamed": Text("unknown", "onbekend"),
    "second": Text(
        "A second search on {at} looked into {files} files and found the person in {remaining} of them,"
        " besides {held} under legal hold.",
        "Een tweede zoektocht op {at} doorzocht {files} bestanden en vond de persoon in {remaining}"
        " daarvan, naast {held} onder een bewaarplicht.",
    ),
    "why_kept": Text("What was kept, and why", "Wat is behouden, en waarom"),
    "reason": Text("reason", "reden"),
    "files": Text("files", "bestanden"),
    "nothing_kept": Text("Nothing.", "Niets."),
    "not_searched": Text("What could not be searched", "Wat niet kon worden doorzocht"),
    "nothing_unsearched": Text("Every file could be searched.", "Elk bestand kon worden doorzocht."),
    "parts": Text(
        "parts of these files; the rest of each was searched",
        "delen van deze bestanden; de rest van elk is doorzocht",
    ),
    "complete": Text("When it was complete", "Wanneer het voltooid was"),
    "logical": Text(
        "Out of reach: on {at} no content of the person could be reached by name any more, but for what is"
        " kept.",
        "Buiten bereik: op {at} was geen inhoud van de persoon nog onder een naam te bereiken, behalve wat"
        " is behouden.",
    ),
    "in_place": Text(
        "The bytes, in {folders} ({file_system}): unlinked. The file system gives the blocks to other files"
        " and does not overwrite them before.",
        "De bytes, in {folders} ({file_system}): losgekoppeld. Het bestandssysteem geeft de blokken aan"
        " andere bestanden en overschrijft ze niet eerder.",
    ),
    "copy_on_write": Text(
        "The bytes, in {folders} ({file_system}): unlinked. The file system never writes in place, and its"
        " snapshots keep old blocks.",
        "De bytes, in {folders} ({file_system}): losgekoppeld. Het bestandssysteem schrijft nooit ter"
        " plaatse, en snapshots ervan behouden oude blokken.",
    ),
    "network": Text(
        "The bytes, in {folders} ({file_system}): unlinked. What becomes of the blocks is up to another"
        " system.",
        "De bytes, in {folders} ({file_system}): losgekoppeld. Wat met de blokken gebeurt bepaalt een ander"
        " systeem.",
    ),
    "memory": Text(
        "The bytes, in {folders} ({file_system}): unlinked from memory, which other files and programs"
        " reuse.",
        "De bytes, in {folders} ({file_system}): losgekoppeld uit geheugen dat andere bestanden en"
        " programma's hergebruiken.",
    ),
    "unknown": Text(
        "The bytes, in {folders} ({file_system}): unlinked. Nothing is known of what becomes of the blocks.",
        "De bytes, in {folders} ({file_system}): losgekoppeld. Wat met de blokken gebeurt is niet bekend.",
    ),
    "key_destroyed": Text(
        "Sealed copies, in {folders}: the key of each was destroyed (cryptographic erase, NIST SP 800-88),"
        " so that no copy of the sealed bytes can be read.",
        "Verzegelde kopieën, in {folders}: de sleutel van elk is vernietigd (cryptografisch wissen, NIST SP"
        " 800-88), zodat geen kopie van de verzegelde bytes leesbaar is.",
    ),
    "remains": Text("What remains, and until when", "Wat blijft, en tot wanneer"),
    "until_released": Text(
        "The files that were kept, until the legal hold on each is released; the request stays open until"
        " then.",
        "De behouden bestanden, tot de bewaarplicht op elk vervalt; tot dan blijft het verzoek open.",
    ),
    "until_ended": Text(
        "The files that are excepted, until the ground of each exception has ended.",
        "De uitgezonderde bestanden, tot de grond van elke uitzondering vervalt.",
    ),
    "certificate_until": Text(
        "This certificate at its issuer, until {until}.",
        "Deze verklaring bij de afgever, tot {until}.",
    ),
    "notices_until": Text(
        "The notices to recipients, with the identifiers, until each is acknowledged, and until {until} at"
        " the latest.",
        "De kennisgevingen aan ontvangers, met de kenmerken, tot elk is bevestigd, en uiterlijk tot {until}.",
    ),
    "told": Text("Who is told (GDPR 19)", "Wie wordt ingelicht (AVG 19)"),
    "recipient": Text("recipient", "ontvanger"),
    "notice": Text("notice", "kennisgeving"),
    "nobody": Text(
        "Nobody: no file with the person was delivered, as far as is known.",
        "Niemand: voor zover bekend is geen bestand met de persoon geleverd.",
    ),
    "limits": Text("Limits", "Grenzen"),
    "verify": Text("How to verify", "Hoe dit te controleren is"),
    "how": Text(
        "This page says what the signed file says, which lists every file. Its SHA-256 is {digest}, and the"
        " audit log of the link has an event with it. On any machine with sftpd: sftpd erasure verify FILE"
        " --key {key}",
        "Deze pagina zegt wat het ondertekende bestand zegt, dat elk bestand noemt. De SHA-256 daarvan is"
        " {digest}, en het auditlog van de koppeling heeft er een gebeurtenis mee. Op elke machine met"
        " sftpd: sftpd erasure verify FILE --key {key}",
    ),
}
"""Every text, by what it is for."""

SIGNED: Mapping[str, Text] = {
    text.en: text
    for text in (
        Text(
            "Content is unlinked, not overwritten; when its blocks are reused is up to the file system and"
            " device.",
            "Inhoud is losgekoppeld, niet overschreven; bestandssysteem en opslag bepalen wanneer blokken"
            " worden hergebruikt.",
        ),
        Text(
            "Snapshots, backups and copies that others took are outside this search.",
            "Snapshots, reservekopieën en kopieën die anderen hebben genomen vallen buiten deze zoektocht.",
        ),
        Text(
            "What is listed as unsearchable was not looked into.",
            "Wat als niet doorzoekbaar is vermeld, is niet bekeken.",
        ),
    )
}
"""The translations of sentences that are signed in English; others are printed as they were signed."""
