"""What wraps the keys of a vault, whichever it is: a key of ours, a program, or a token behind one."""

import base64
import contextlib
import json
import subprocess
from pathlib import Path

import pytest
from key_programs import SoftToken, script, tiny
from vault_scene import put, read

from sftpd.app import key_program
from sftpd.app.key_program import KeyProgramError, WrappingProgram
from sftpd.app.vaults import wrapping
from sftpd.config.secret import Secret
from sftpd.config.vault_model import KeyProgram
from sftpd.errors import NotFoundError
from sftpd.files.data_keys import KeyFileError
from sftpd.files.vault import Vault, VaultError

CHILDREN = ["sftpd.process.command"]

KEY = bytes(range(32))
CONTEXT = b"demo\0a-file"
SECRET = base64.b64encode(bytes(32))


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    token = SoftToken(tmp_path_factory.mktemp("token"))
    token.make_key("demo-1")
    return token


def _file(folder, _token):
    path = folder / "vault-key"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return Secret.parse(f"file:{path}")


def _credential(folder, _token):
    _file(folder, _token)
    return Secret.parse("credential:vault-key")


KINDS = {
    "file": _file,
    "credential": _credential,
    "program": lambda folder, _token: tiny(folder),
    "softhsm": lambda _folder, token: token.program("demo-1"),
}


@pytest.fixture(params=KINDS)
def wraps(request, tmp_path, monkeypatch, children, token):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return wrapping(KINDS[request.param](tmp_path, token), lambda: children)


def test_what_was_wrapped_is_unwrapped_in_its_context_alone(wraps):
    wrapped = wraps.wrap(KEY, CONTEXT)
    assert KEY not in wrapped
    assert wraps.unwrap(wrapped, CONTEXT) == KEY
    with pytest.raises(KeyFileError):
        wraps.unwrap(wrapped, CONTEXT + b"x")
    assert wraps.wrap(KEY, CONTEXT) != wrapped


def test_a_wrapped_key_that_was_changed_opens_nothing(wraps):
    wrapped = wraps.wrap(KEY, CONTEXT)
    for at in (0, 14, 40, len(wrapped.rstrip(b"\0")) - 1, len(wrapped) - 1):
        changed = bytearray(wrapped)
        changed[at] ^= 1
        with pytest.raises(KeyFileError):
            wraps.unwrap(bytes(changed), CONTEXT)
    for cut in (b"", wrapped[:1], wrapped[:30]):
        with pytest.raises(KeyFileError):
            wraps.unwrap(cut, CONTEXT)


def test_a_vault_works_with_it_and_a_destroyed_key_is_gone(wraps, tmp_path):
    def opened():
        (tmp_path / "vault").mkdir(exist_ok=True)
        return contextlib.closing(Vault(tmp_path / "vault", tmp_path / "demo.keys", wraps, "demo"))

    with opened() as vault:
        one, other = put(vault, b"one"), put(vault, b"other")
    with opened() as vault:
        vault.require_key()
        assert (read(vault, one), read(vault, other)) == (b"one", b"other")
        assert vault.destroy(one)
        with pytest.raises(NotFoundError):
            read(vault, one)
        kept = (tmp_path / "demo.keys").read_bytes()
        assert (one.encode() in kept, other.encode() in kept) == (False, True)
        assert read(vault, other) == b"other"


@pytest.fixture
def program(tmp_path, children):
    """A program of these lines, as what wraps."""

    def make(body, **options):
        return WrappingProgram(KeyProgram((script(tmp_path, body),), **options), lambda: children)

    return make


def answering(text):
    return f"import sys\nsys.stdin.read()\nsys.stdout.write({text!r})"


def wrapped(key_id='"k"', blob=b"w" * 60):
    return f'{{"wrapped": "{base64.b64encode(blob).decode()}", "key_id": {key_id}}}'


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "import sys\nsys.exit('first\\nthe HSM is away')",
            "status 1: the HSM is away",
        ),
        ("raise SystemExit(3)", "ended with status 3"),
        ("import os\nos.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import time\ntime.sleep(60)", "did not end within 1 s"),
        ("", "gave no such answer; expected one JSON object with wrapped, key_id"),
        (answering("wrapped"), "gave no such answer"),
        (answering("[1]"), "gave no such answer"),
        (answering(wrapped() * 2), "gave no such answer"),
        (answering('{"wrapped": "d3c=", "key_id": "k", "key": "d3c="}'), "gave no such answer"),
        (answering('{"wrapped": "!!!", "key_id": "k"}'), "gave no such answer"),
        (answering('{"wrapped": "d3c="}'), "gave no such answer"),
        (answering("\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), "gave no such answer"),
        (answering(wrapped(key_id="7")), "gave no such answer"),
        (answering(wrapped(key_id='""')), "named the key in another way"),
        (answering(wrapped(key_id='"a\\u0000b"')), "named the key in another way"),
        (answering(wrapped(key_id='"\\u00e9"')), "named the key in another way"),
        (answering(wrapped(key_id=f'"{"k" * 129}"')), "named the key in another way"),
        (answering(wrapped(blob=b"")), "has not wrapped the key"),
        (answering(wrapped(blob=b"w" * 2049)), "has not wrapped the key"),
        (answering(wrapped(blob=b"x" + KEY)), "has not wrapped the key"),
        (answering(wrapped() + " " * 70000), "said too much"),
    ],
)
def test_whatever_a_program_does_is_a_failure_that_names_it(program, monkeypatch, body, told):
    monkeypatch.setattr(key_program, "DEADLINE", 1.0 if "sleep" in body else 60.0)
    with pytest.raises(KeyProgramError) as failure:
        program(body).wrap(KEY, CONTEXT)
    assert "key-program: " in str(failure.value)
    assert told in str(failure.value)
    assert base64.b64encode(KEY).decode() not in str(failure.value)


@pytest.mark.parametrize("key", [b"", KEY[:-1], KEY + b"x"])
def test_a_key_of_another_size_is_none(program, tmp_path, children, key):
    entry = WrappingProgram(tiny(tmp_path), lambda: children).wrap(KEY, CONTEXT)
    said = f'{{"key": "{base64.b64encode(key).decode()}"}}'
    with pytest.raises(KeyProgramError, match="another size"):
        program(answering(said)).unwrap(entry, CONTEXT)


@pytest.mark.parametrize("argv", ["/nowhere/program", "/etc/hostname"])
def test_a_program_that_cannot_be_run_is_named(children, argv):
    with pytest.raises(KeyProgramError, match=f"{argv}: could not be run"):
        WrappingProgram(KeyProgram((argv,)), lambda: children).wrap(KEY, CONTEXT)


def test_it_is_told_its_secret_by_the_request_alone_and_sees_nothing_of_our_environment(
    program, tmp_path, monkeypatch
):
    monkeypatch.setenv("SFTPD_TEST_SECRET", "pin-of-the-token\n")
    (tmp_path / "seen").mkdir()
    body = (
        "import json, os, sys\nasked = json.load(sys.stdin)\n"
        f"open('{tmp_path}/seen/it', 'w').write(json.dumps([asked, sys.argv, dict(os.environ)]))\n"
    )
    wraps = program(body, secret=Secret.parse("env:SFTPD_TEST_SECRET"), write=(str(tmp_path / "seen"),))
    with pytest.raises(KeyProgramError, match="no such answer"):
        wraps.wrap(KEY, CONTEXT)
    asked, argv, environment = json.loads((tmp_path / "seen/it").read_text())
    assert asked == {
        "operation": "wrap",
        "key": base64.b64encode(KEY).decode(),
        "context": base64.b64encode(CONTEXT).decode(),
        "secret": "pin-of-the-token",
    }
    assert "pin-of-the-token" not in f"{argv}{environment}"
    assert environment.keys() == {"PATH", "LANG", "TMPDIR"}


def test_it_writes_only_where_it_may(program, tmp_path):
    with pytest.raises(KeyProgramError, match="Permission denied"):
        program(f"open('{tmp_path}/mine', 'w')").wrap(KEY, CONTEXT)
    assert not (tmp_path / "mine").exists()


def test_after_a_rotation_earlier_keys_are_unwrapped_by_the_key_that_wrapped_them(tmp_path, children):
    first = WrappingProgram(tiny(tmp_path, "device/1"), lambda: children)
    later = WrappingProgram(tiny(tmp_path, "device/2 with a much longer name than before"), lambda: children)
    (tmp_path / "vault").mkdir()
    for wraps, content in ((first, b"one"), (later, b"other")):
        with contextlib.closing(Vault(tmp_path / "vault", tmp_path / "demo.keys", wraps, "demo")) as vault:
            identifier = put(vault, content)
            assert read(vault, identifier) == content
    with contextlib.closing(Vault(tmp_path / "vault", tmp_path / "demo.keys", later, "demo")) as vault:
        names = [path.name for path in Path(tmp_path / "vault").rglob("*") if path.is_file()]
        assert sorted(read(vault, name) for name in names) == [b"one", b"other"]
    kept = (tmp_path / "demo.keys").read_bytes()
    assert (kept.count(b"device/1"), kept.count(b"device/2")) == (1, 1)


def test_a_token_rotates_and_without_its_key_nothing_is_read(tmp_path, children, token):
    token.make_key("demo-2")
    (tmp_path / "vault").mkdir()

    def opened(label):
        wraps = WrappingProgram(token.program(label), lambda: children)
        return contextlib.closing(Vault(tmp_path / "vault", tmp_path / "demo.keys", wraps, "demo"))

    with opened("demo-2") as vault:
        identifier = put(vault, b"one")
    token.make_key("demo-3")
    with opened("demo-3") as vault:
        assert read(vault, identifier) == b"one"
        token.destroy_key("demo-2")
        with pytest.raises(KeyProgramError, match="NoSuchKey"):
            read(vault, identifier)
        assert read(vault, put(vault, b"other")) == b"other"


def test_a_wrong_pin_is_told_of_by_the_token_and_nothing_is_sealed(tmp_path, children, token):
    wrong = tmp_path / "pin"
    wrong.write_text("0000")
    wrong.chmod(0o600)
    asked = KeyProgram(token.argv("demo-1"), Secret.parse(f"file:{wrong}"), (str(token.tokens),))
    (tmp_path / "vault").mkdir()
    wraps = WrappingProgram(asked, lambda: children)
    vault = Vault(tmp_path / "vault", tmp_path / "demo.keys", wraps, "demo")
    with contextlib.closing(vault), pytest.raises(VaultError, match="ended with status 1: PinIncorrect"):
        put(vault, b"one")
    assert [path for path in (tmp_path / "vault").rglob("*") if path.is_file()] == []


def test_a_program_that_is_sound_passes_its_probe_and_others_do_not(program, tmp_path, children, token):
    WrappingProgram(tiny(tmp_path), lambda: children).probe()
    WrappingProgram(token.program("demo-1"), lambda: children).probe()
    loose = (
        "import base64, json, sys\nasked = json.load(sys.stdin)\n"
        "turned = lambda text: base64.b64encode(base64.b64decode(text)[::-1]).decode()\n"
        "wrap = asked['operation'] == 'wrap'\n"
        "print(json.dumps({'wrapped': turned(asked['key']), 'key_id': 'k'} if wrap else"
        " {'key': turned(asked['wrapped'])}))"
    )
    with pytest.raises(KeyProgramError, match="in another context"):
        program(loose).probe()
    with pytest.raises(KeyProgramError, match="gave another key"):
        program(loose.replace("turned(asked['wrapped'])", "asked['wrapped']")).probe()


def test_what_a_program_says_last_steers_no_terminal(program):
    wraps = program('import sys\nsys.exit("\\x1b]0;owned\\x07 \\u202eno token")')
    with pytest.raises(KeyProgramError) as failed:
        wraps.wrap(KEY, CONTEXT)
    assert failed.value.what == "ended with status 1: \\x1b]0;owned\\x07 \\u202eno token"


@pytest.mark.parametrize("asked", ["", "x", "5", "[]", "[1]", "{}", '{"operation": "wrap", "secret": []}'])
def test_the_program_that_we_ship_says_what_is_no_request(token, asked):
    done = subprocess.run(token.argv("demo-1"), input=asked, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("not a request that is known: ")
    assert done.stderr.count("\n") == 1
