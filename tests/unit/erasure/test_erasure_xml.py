"""XML: the smallest record around her goes, the rest stays as it was and is read by lxml."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.formats.xml import Xml
from sftpd.erasure.formats.xml_events import DEPTH_LIMIT
from sftpd.erasure.identifiers import parse_identifier

JAN = parse_identifier("email=jan@example.nl")
KLANT = parse_identifier("customer=1234")
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "windows-1252", "iso-8859-1", "us-ascii"])

OTHERS = st.text(st.sampled_from("abcë \n<&>\"'];@."), max_size=12) | st.sampled_from(
    ["xjan@example.nl", "jan@example.nl.com", "piet@example.nl"]
)
HERS = st.sampled_from(["jan@example.nl", "JAN@Example.nl", "Jan <jan@example.nl>; tel\n06"])


def find(data: str | bytes, *identifiers):
    content = data.encode() if isinstance(data, str) else data
    return Xml().find(content, Inquiry(identifiers or (JAN,), detect))


def redacted(data: str) -> str:
    findings = find(data)
    after = b"".join(findings.rest())
    if after:
        assert find(after).locators == []
        etree.fromstring(after)
    return after.decode()


def written(draw, text: str) -> str:
    """The text in one of the ways in which XML writes it."""
    way = draw(st.sampled_from(["plain", "cdata", "parted", "references"]))
    if way == "cdata":
        return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"
    if way == "references":
        return "".join(f"&#x{ord(character):x};" for character in text)
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    middle = len(plain) // 2
    return (
        f"{plain[:middle]}<!-- {way} -->{plain[middle:]}" if way == "parted" and "&" not in plain else plain
    )


@st.composite
def people(draw):
    """Elements of one name, each with whether it is hers."""
    elements = []
    for number in range(draw(st.integers(2, 6))):
        hers = draw(st.booleans())
        text = draw(HERS) if hers else draw(OTHERS)
        value = written(draw, text)
        if draw(st.booleans()) and "CDATA" not in value and "<" not in value:
            inside = f'<p:wie nr="{number}" mail="{value.replace(chr(34), "&quot;")}"/>'
        else:
            inside = f"<p:wie><nr>{number}</nr><tel>1</tel><tel>2</tel><mail soort='p'>{value}</mail></p:wie>"
        elements.append((inside, hers))
    return elements


@given(people(), st.sampled_from(["", " ", "\n  ", "\r\n\t"]), ENCODINGS)
def test_xml_loses_her_records_alone(elements, space, encoding) -> None:
    name = encoding.removesuffix("-sig")

    def document(texts: list[str]) -> bytes:
        body = "".join(space + text for text in texts)
        head = f"<?xml version='1.0' encoding='{name}'?>\n<!-- lijst -->"
        text = f"{head}<p:a xmlns:p='urn:p'><n>é&#8364;</n>{space}<lijst>{body}{space}</lijst></p:a>\n"
        return text.encode(encoding, "xmlcharrefreplace")

    before = document([text for text, _ in elements])
    findings = find(before)
    after = b"".join(findings.rest())
    assert not findings.whole
    assert after == document([text for text, hers in elements if not hers])
    assert find(after).locators == []
    assert len(etree.fromstring(after).find("lijst")) == sum(not hers for _, hers in elements)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # A record is one of several siblings of its name.
        ("<a><p><m>jan@example.nl</m></p><p><m>x</m></p></a>", "<a><p><m>x</m></p></a>"),
        ("<a>\n  <p>x</p>\n  <p>jan@example.nl</p>\n</a>", "<a>\n  <p>x</p>\n</a>"),
        ("<a><p m='jan&#64;example.nl'/><p/><q/></a>", "<a><p/><q/></a>"),
        ("<a><p><m>jan@example.nl</m></p><q/><p><m/></p></a>", "<a><q/><p><m/></p></a>"),
        # Mere values belong to the record around them, if there is one.
        (
            "<a><p><n>J</n><m>jan@example.nl</m><m>x</m></p><p><n>P</n></p></a>",
            "<a><p><n>P</n></p></a>",
        ),
        (
            "<a><p><e><m>jan@example.nl</m><m>jan@example.nl</m></e></p><p><e/></p></a>",
            "<a><p><e/></p></a>",
        ),
        ("<a><n>J</n><m>jan@example.nl</m><m>x</m></a>", "<a><n>J</n><m>x</m></a>"),
        ("<a><d/><k nr='1'>jan@example.nl</k><k nr='2'>x</k></a>", "<a><d/><k nr='2'>x</k></a>"),
        ("<a><d/><!-- jan@example.nl --><k>jan@example.nl</k><k>x</k></a>", "<a><d/><k>x</k></a>"),
        ("<a><d/><g><i>1<b/></i><i>jan@example.nl<b/></i></g></a>", "<a><d/><g><i>1<b/></i></g></a>"),
        # The smallest of nested records goes, unless the larger one is hers as well.
        (
            "<a><p><o><m>jan@example.nl</m></o><o>1</o></p><p/></a>",
            "<a><p><o>1</o></p><p/></a>",
        ),
        (
            "<a><p m='jan@example.nl'><o><m>jan@example.nl</m></o><o>1</o></p><p/></a>",
            "<a><p/></a>",
        ),
        # Text counts as one where elements, comments or CDATA part it.
        ("<a><p>jan@<b>example</b>.nl</p><p/></a>", "<a><p/></a>"),
        ("<a><p>jan@<![CDATA[example.nl]]></p><p/></a>", "<a><p/></a>"),
        ("<a><p><b>jan@</b><b>example.nl</b></p><p/></a>", "<a><p><b>jan@</b><b>example.nl</b></p><p/></a>"),
        ("<a>tekst <p>jan@example.nl</p> en <p/></a>", "<a>tekst  en <p/></a>"),
        # Remarks go by themselves.
        ("<a><!--jan@example.nl--><p/><?x jan@example.nl?></a>", "<a><p/></a>"),
        ("<?xml version='1.0'?><!--jan@example.nl--><a/><!--jan@example.nl-->", "<?xml version='1.0'?><a/>"),
        # No record around her, or a signature over all of it: the whole file.
        ("<a><m>jan@example.nl</m></a>", ""),
        ("<a m='jan@example.nl'><p/><p/></a>", ""),
        ("<a><p>jan@example.nl</p><p>x</p><s:SignatureValue xmlns:s='s'>x</s:SignatureValue></a>", ""),
    ],
)
def test_the_smallest_record_around_her_goes(before: str, after: str) -> None:
    assert redacted(before) == after
    assert find(before).whole == (not after)


def test_text_may_be_long_and_parted() -> None:
    far = "<a><p>" + "woord " * 5000 + "jan@<b>example</b>.nl</p><p>" + "y" * 5000 + "jan@example.nl</p></a>"
    assert [match[:7] for match in find(far).locators] == ["/a[1]/p"]
    passing = f"<a><q><p>{'y' * 5000}jan@example.nl</p></q><q><p/></q> tekst</a>"
    assert find(passing).locators == []
    cut = f"<a><q>{'y' * 5000}jan@example.nl{' ' * 1010}</q> tekst</a>"
    assert find(cut).locators == []


UBL = """<?xml version="1.0" encoding="UTF-8"?>
<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
 xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
 xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
  <cbc:ID>F-1</cbc:ID>{attachment}
  <cac:AccountingCustomerParty><cac:Party>
    <cac:Contact><cbc:ElectronicMail>{mail}</cbc:ElectronicMail></cac:Contact>
  </cac:Party></cac:AccountingCustomerParty>
  <cac:InvoiceLine><cbc:ID>1</cbc:ID><cbc:Note>{note}</cbc:Note></cac:InvoiceLine>
  <cac:InvoiceLine><cbc:ID>2</cbc:ID><cbc:Note>uren</cbc:Note></cac:InvoiceLine>
</Invoice>
"""


def test_of_an_invoice_goes_her_line_or_the_whole() -> None:
    before = UBL.format(attachment="", mail="piet@example.nl", note="uren van jan@example.nl")
    note = "<cbc:Note>uren van jan@example.nl</cbc:Note>"
    line = f"\n  <cac:InvoiceLine><cbc:ID>1</cbc:ID>{note}</cac:InvoiceLine>"
    assert line in before
    assert redacted(before) == before.replace(line, "")
    assert find(UBL.format(attachment="", mail="jan@example.nl", note="")).whole


def test_what_an_invoice_embeds_is_told_as_unsearched() -> None:
    embedded = f"<cbc:EmbeddedDocumentBinaryObject>{'QUJD' * 200}</cbc:EmbeddedDocumentBinaryObject>"
    findings = find(UBL.format(attachment=embedded, mail="piet@example.nl", note=""))
    assert findings.locators == []
    assert [reason.rpartition(" ")[0] for reason in findings.unsearched] == ["what is embedded at byte"]


def test_a_number_counts_under_an_element_that_says_whose() -> None:
    before = "<a><Klant><ID>1234</ID></Klant><Klant><ID>7</ID></Klant><bedrag>1234</bedrag></a>"
    assert find(before, KLANT).locators == ["/a[1]/Klant[1]"]
    assert find("<a><klant nr='1234'/><klant/></a>", KLANT).locators == ["/a[1]/klant[1]"]


BOMB = (
    '<!DOCTYPE a [<!ENTITY b "jan">'
    + "".join(f'<!ENTITY {chr(99 + n)} "{f"&{chr(98 + n)};" * 10}">' for n in range(9))
    + "]><a>&k;</a>"
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB,
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
        "<a>&x;</a>",
        "<a><b></a>",
        "<a>",
        "",
        "<a/><b/>",
        "<a>" * (DEPTH_LIMIT + 1) + "jan@example.nl" + "</a>" * (DEPTH_LIMIT + 1),
        "<?xml version='1.0' encoding='ebcdic-xyz'?><a/>",
        "<?xml version='1.0' encoding='gbk'?><a/>",
        b"<?xml version='1.0' encoding='utf-8'?><a>\xff</a>",
        "<a b='1' b='2'/>",
        "<a>\x01</a>",
    ],
)
def test_what_is_not_plain_xml_is_unsearchable(content: str | bytes) -> None:
    with pytest.raises(UnsearchableError):
        find(content)


MARKUP = st.lists(
    st.sampled_from(
        [
            "<a>",
            "</a>",
            "<b x='jan@example.nl'>",
            "</b>",
            "<c/>",
            "jan@",
            "example.nl",
            " ",
            "<!--x-->",
            "<?x?>",
            "é",
        ]
    ),
    max_size=20,
).map("".join)


@given(MARKUP.map(lambda inside: f"<a>{inside}</a>".encode()) | st.binary(max_size=100))
def test_whatever_is_searched_stays_well_formed_and_loses_her(data: bytes) -> None:
    try:
        findings = find(data)
    except UnsearchableError:
        return
    if not findings.whole:
        after = b"".join(findings.rest())
        assert find(after).locators == []
        assert bool(findings.locators) == (after != data)
