"""E-mail: a message about her goes whole; of others the attachments lose her and the rest stays."""

import email
import email.policy
import mailbox
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.html import visible
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.identifiers import parse_identifier

JAN = parse_identifier("email=jan@example.nl")
TABLE = b"nr;mail\r\n1;jan@example.nl\r\n2;piet@example.nl\r\n"
TABLE_AFTER = b"nr;mail\r\n2;piet@example.nl\r\n"
LETTER = b"Beste jan@example.nl,\n"
OTHER = b"Beste piet@example.nl,\n"


def find(data: bytes, name: str = "a.eml"):
    return detect(name.encode(), data).find(data, Inquiry([JAN], detect, name=name.encode()))


def redacted(data: bytes, name: str = "a.eml") -> bytes:
    findings = find(data, name)
    assert not findings.whole
    after = b"".join(findings.rest())
    assert find(after, name).locators == []
    return after


def message(*attachments, text="Hierbij de lijst.", sender="piet@example.nl", cte="base64", newline="\r\n"):
    made = EmailMessage(policy=email.policy.SMTP.clone(linesep=newline))
    made["From"] = sender
    made["To"] = "Zoë <zoe@example.nl>"
    made["Subject"] = "Lijst voor Zoë"
    made.set_content(text)
    for filename, content in attachments:
        made.add_attachment(
            content, maintype="application", subtype="octet-stream", filename=filename, cte=cte
        )
    return made.as_bytes()


def attachments(data: bytes):
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert not any(part.defects for part in parsed.walk())
    return [(part.get_filename(), part.get_payload(decode=True)) for part in parsed.iter_attachments()]


CONTENTS = [
    ("a.csv", TABLE, TABLE_AFTER),
    ("o.csv", TABLE_AFTER, TABLE_AFTER),
    ("brief.txt", LETTER, None),
    ("ander.txt", OTHER, OTHER),
    ("jan@example.nl.txt", OTHER, None),
    ("foto.png", b"\x89PNG\0" * 50, b"\x89PNG\0" * 50),
]


@given(
    st.lists(st.sampled_from(CONTENTS), max_size=5),
    st.sampled_from(["base64", "quoted-printable"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_attachments_lose_her_alone(chosen, cte, newline) -> None:
    before = message(*((name, old) for name, old, _ in chosen), cte=cte, newline=newline)
    after = redacted(before)
    assert attachments(after) == [(name, new) for name, _, new in chosen if new is not None]
    head = before.index(b"Hierbij")
    assert after[: head + 20] == before[: head + 20]
    if all(old == new for _, old, new in chosen):
        assert after == before


WIDE = (
    b"Subject: x\nContent-Type: text/plain; charset=utf-16-le\nContent-Transfer-Encoding: base64\n\n"
    b"agBhAG4AQABlAHgAYQBtAHAAbABlAC4AbgBsAA==\n"
)


@pytest.mark.parametrize(
    "data",
    [
        message(sender="Jan <jan@example.nl>"),
        message(("o.txt", OTHER), sender="Jan <jan@example.nl>"),
        message(text="Bel jan@example.nl."),
        message(text="é" * 60 + " jan@example.nl"),
        message(("b.csv", TABLE)).replace(
            b"Content-Type: multipart/mixed", b"Content-Type: multipart/signed"
        ),
        b"Subject: =?utf-8?q?jan=40example=2Enl?=\r\n\r\nx",
        b"Subject: =?utf-8?b?amFuQGV4YW1w?=\r\n =?utf-8?b?bGUubmw=?=\r\n\r\nx",
        b"Subject: x\r\nContent-Type: text/html\r\n\r\n<td>a</td><td>jan&#64;<b>exam</b>ple.nl",
        b"Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\njan=40exam=\r\nple.nl",
        b"Subject: x\nContent-Transfer-Encoding: base64\n\namFuQGV4YW1wbGUubmw=\n",
        WIDE,
        b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\njan@example.nl\n--b\n\nx\n--b--\n",
        b"Subject: x\nContent-Disposition: attachment; filename=a.txt\n\njan@example.nl\n",
    ],
    ids=lambda data: data[:20].decode(),
)
def test_a_message_about_her_goes_whole(data: bytes) -> None:
    assert find(data).whole


def test_an_attached_message_goes_or_loses_its_attachment() -> None:
    inner = email.message_from_bytes(message(("a.csv", TABLE)), policy=email.policy.SMTP)
    outer = EmailMessage(policy=email.policy.SMTP)
    outer["Subject"] = "Doorgestuurd"
    outer.set_content("zie bijlage")
    outer.add_attachment(inner)
    after = redacted(outer.as_bytes())
    parsed = email.message_from_bytes(after, policy=email.policy.default)
    (forwarded,) = parsed.iter_attachments()
    assert attachments(forwarded.get_content().as_bytes()) == [("a.csv", TABLE_AFTER)]
    about_her = email.message_from_bytes(message(text="jan@example.nl"), policy=email.policy.SMTP)
    outer.add_attachment(about_her)
    parsed = email.message_from_bytes(redacted(outer.as_bytes()), policy=email.policy.default)
    assert len(list(parsed.iter_attachments())) == 1


def test_what_cannot_be_read_is_told() -> None:
    sealed = message(("a.csv", TABLE)).replace(b"multipart/mixed", b"multipart/encrypted")
    assert set(find(sealed).unsearched) == {"text: it is encrypted"}
    pgp = message(text="-----BEGIN PGP MESSAGE-----\nx\n")
    assert list(find(pgp).unsearched) == ["text: it is encrypted"]
    broken = message(("a.csv", TABLE)).replace(b"bnI7", b"bn*7")
    assert list(find(broken).unsearched) == ["part 1: its Base64 is damaged"]
    odd = message(("a.csv", TABLE)).replace(b"Encoding: base64", b"Encoding: x-uuencode")
    assert list(find(odd).unsearched) == ["part 1: its transfer encoding is not read"]
    assert [reason.partition(", ")[0] for reason in find(message(("s.png", b"\0"))).unsearched] == [
        "part 1: it holds control characters"
    ]


DEEP = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(40))


@pytest.mark.parametrize(
    "data",
    [
        message(("a.csv", TABLE))[:-60],
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n",
        b"Content-Type: multipart/mixed\n\nx\n",
        b"Subject: " + b"=?utf-8?q?x?= " * 5000 + b"\n\nx",
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 10_001 + b"--b--\n",
        DEEP + b"".join(b"\n--b%d--\n" % n for n in reversed(range(40))),
    ],
    ids=["cut", "unended", "without", "long", "many", "deep"],
)
def test_messages_without_end_or_measure_are_unsearchable(data: bytes) -> None:
    with pytest.raises(UnsearchableError):
        find(data)


def boxed(messages, newline=b"\n") -> bytes:
    line = b"From piet@example.nl Thu Jan  1 00:00:00 2026\n"
    return b"".join(line + content.replace(b"\r\n", newline) + b"\n" for content in messages)


@given(st.lists(st.sampled_from(["about", "attached", "other", "quoting"]), min_size=1, max_size=6))
def test_messages_of_a_mailbox_go_and_the_others_stay(tmp_path_factory, kinds) -> None:
    made = {
        "about": message(text="Bel jan@example.nl"),
        "attached": message(("a.csv", TABLE), ("o.txt", OTHER)),
        "other": message(("b.csv", TABLE_AFTER)),
        "quoting": message(text="Zoals beloofd:\n\nFrom now on\n\n>From x"),
    }
    before = boxed([made[kind] for kind in kinds])
    if set(kinds) == {"about"}:
        assert find(before, "a.mbox").whole
        return
    after = redacted(before, "a.mbox")
    expected = boxed([made[kind] for kind in kinds if kind != "about"])
    if "attached" not in kinds:
        assert after == expected
    path = tmp_path_factory.mktemp("box") / "a.mbox"
    path.write_bytes(after)
    read = [each.as_bytes() for each in mailbox.mbox(path) if each["Subject"]]
    assert len(read) == len(kinds) - kinds.count("about")
    tables = [dict(attachments(each)).get("a.csv") for each in read]
    assert [table for table in tables if table] == [TABLE_AFTER] * kinds.count("attached")


def test_a_mailbox_line_and_a_stated_length_follow() -> None:
    content = message(("a.csv", TABLE)).replace(b"\r\n", b"\n")
    head, _, body = content.partition(b"\n\n")
    stated = head + b"\nContent-Length: %d\n\n" % len(body) + body
    after = redacted(boxed([stated, message(text="x")]), "a.mbox").split(b"\nFrom piet")[0]
    head, _, body = after.partition(b"\n\n")
    length = int(head.rpartition(b"Content-Length: ")[2])
    assert length == len(body)
    hers = boxed([message(text="x"), message(text="y")]).replace(b"From piet", b"From jan", 1)
    assert find(hers, "a.mbox").locators == ["message 1"]
    with pytest.raises(UnsearchableError):
        find(b"x\n" + hers, "a.mbox")
    quoting = boxed(
        [message(text="Hij schreef:\nFrom piet@example.nl Mon\njan@example.nl"), message(text="x")]
    )
    assert redacted(quoting, "a.mbox") == boxed([message(text="x")])


def test_html_is_read_as_it_is_shown() -> None:
    assert visible("<p>Naam</p><p>jan&#64;<i>example</i>.nl").split("\n\n")[1].startswith("jan@example.nl")
    assert visible("1 < 2 <b>en").startswith("1 < 2 en")
    assert find(b"<td>x</td><td>jan&commat;example.nl</td>", "a.html").whole
    assert find(b"<a href='mailto:jan@example.nl'>mail", "a.html").whole
    assert find(b"<!-- jan@example.nl -->", "a.html").whole
    assert find(b"<b>x</b>jan@example.nl", "a.html").locators == []
    assert find(b'<img title="a>b jan@example.nl">', "a.html").whole
    assert find(b"<!-- <p>jan@example.nl", "a.html").whole
    for opened in (b"<a ", b"<!--", b"<!", b"</", b"<?", b"<"):
        assert find(opened * 300_000 + b" jan@example.nl", "a.html").whole


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    b"From a Mon\n",
                    b"Content-Type: multipart/mixed; boundary=b\n",
                    b"\n",
                    b"--b\n",
                    b"--b--\n",
                    b"\r\n",
                ),
                *(
                    b"jan@example.nl",
                    b"a.csv",
                    b"Content-Disposition: attachment; filename=a.csv\n",
                    b"=40",
                    b"\xff",
                ),
                *(
                    b"Content-Transfer-Encoding: base64\n",
                    b"a;b\njan@example.nl;1\nx;2",
                    b"Content-Type: text/csv\n",
                ),
                *(
                    b"Subject: =?utf-8?b?x?=\n",
                    b"Content-Type: text/plain; charset=zzz\n",
                    b"Content-Length: 5\n",
                ),
            ]
        ),
        max_size=20,
    ).map(b"".join)
)
def test_no_bytes_raise_anything_else_or_outlive_redaction(data: bytes) -> None:
    for name in ("a.eml", "a.mbox"):
        try:
            findings = find(data, name)
        except UnsearchableError:
            continue
        if not findings.whole:
            assert find(b"".join(findings.rest()), name).locators == []
