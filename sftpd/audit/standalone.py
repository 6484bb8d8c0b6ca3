"""Verify a bundle of evidence without sftpd: Python 3.9 or newer and the program openssl are enough.

    python3 verify.py KEY

KEY is the verifier key NAME+ID+BASE64 of whoever keeps the log, as they told it over another channel: the
file `key` beside this was compared with nothing. An event is printed once it is proven to be in the log, with
those of its private values that were disclosed and that it commits to. Exits with 1 if one is not.
The forms are those of c2sp.org/tlog-proof@v1, c2sp.org/signed-note, RFC 6962 and RFC 8410.
"""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ED25519_KEY = bytes.fromhex("302a300506032b6570032100")
"""What stands before a key of Ed25519 in SubjectPublicKeyInfo (RFC 8410 section 4)."""


def sha256(*parts: bytes) -> bytes:
    """The SHA-256 of the parts together."""
    return hashlib.sha256(b"".join(parts)).digest()


def root(leaf_hash: bytes, index: int, size: int, path: "list[bytes]") -> bytes:
    """The root of a tree of `size` leaves to which a path leads from one of them (RFC 6962 section 2.1.1)."""
    if size == 1:
        if path:
            raise ValueError("the path is too long")
        return leaf_hash
    split = 1 << ((size - 1).bit_length() - 1)  # the largest power of two below the size
    *path, top = path
    if index < split:
        return sha256(b"\1", root(leaf_hash, index, split, path), top)
    return sha256(b"\1", top, root(leaf_hash, index - split, size - split, path))


def is_signed(text: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether openssl says that the signature (Ed25519) is of the text and by the key."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"key": ED25519_KEY + public_key, "text": text, "signature": signature}
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        verify = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile signature"
        return subprocess.run(verify.split(), cwd=folder, capture_output=True, check=False).returncode == 0


def proven(proof: bytes, name: str, public_key: bytes) -> "tuple[str, bytes]":
    """The log in which a proof proves its leaf to be, and the leaf. Raises ValueError."""
    head, note = proof.decode().split("\n\n", 1)
    form, extra, index, *path = head.split("\n")
    if form != "c2sp.org/tlog-proof@v1":
        raise ValueError(f"its form is {form!r}")
    text, signatures = note.split("\n\n")
    signed = f"{text}\n".encode()
    before = f"\u2014 {name} "
    mine = [line[len(before) :] for line in signatures.split("\n") if line.startswith(before)]
    if not any(
        is_signed(signed, base64.b64decode(line)[4:], public_key) for line in mine
    ):  # behind the key's ID
        raise ValueError(f"no signature under its checkpoint is by the key {name}")
    origin, size, signed_root = text.split("\n")[:3]
    leaf = base64.b64decode(extra[len("extra ") :])
    at, hashes = int(index[len("index ") :]), [base64.b64decode(line) for line in path]
    if not 0 <= at < int(size) or root(sha256(b"\0", leaf), at, int(size), hashes) != base64.b64decode(
        signed_root
    ):
        raise ValueError("its path does not lead from the leaf to the root")
    return f"{origin}, {at} of {size}", leaf


def opened(leaf: bytes, shown: bytes) -> "dict[str, object]":
    """The private values that are disclosed, each of which the leaf commits to. Raises ValueError."""
    commitments = json.loads(leaf)["data"]["commitments"]
    disclosed = json.loads(shown)
    for field, value in disclosed["private"].items():
        canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        message = field.encode() + b"\0" + canonical.encode()
        commitment = hmac.new(base64.b64decode(disclosed["nonces"][field]), message, hashlib.sha256).digest()
        if not hmac.compare_digest(commitment, base64.b64decode(commitments[field])):
            raise ValueError(f"{field} is not what the leaf commits to")
    return dict(disclosed["private"])


def main(key: str, folder: Path) -> int:
    """Verify every event in the folder; returns the exit status."""
    name, _, encoded = key.split("+", 2)
    public_key = base64.b64decode(encoded)[1:]  # after the type, 0x01
    failed, proofs = 0, sorted(folder.glob("*.proof"))
    for file in proofs:
        try:
            place, leaf = proven(file.read_bytes(), name, public_key)
            shown = file.with_suffix(".json")
            private = opened(leaf, shown.read_bytes()) if shown.exists() else {}
        except (ValueError, KeyError, TypeError) as fault:
            failed += 1
            print(f"{file.name}: NOT PROVEN: {fault}")
            continue
        # Escaped to ASCII: nothing in it steers a terminal or turns a line around.
        print(f"{place}: {json.dumps(json.loads(leaf))}")
        for field, value in private.items():
            print(f"  {field} = {json.dumps(value)}")
    print(f"{len(proofs) - failed} of {len(proofs)} events are proven by the key {key}")
    return 1 if failed or not proofs else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], Path(__file__).resolve().parent / "events"))
