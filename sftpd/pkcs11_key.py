"""`sftpd-pkcs11-key`: has a PKCS#11 token wrap the data keys of a vault; see docs/vault.md.

The token's AES key encrypts the data key with AES-GCM (CKM_AES_GCM, PKCS #11 v2.40 §2.12.3), its context as
additional data. What it gives is the nonce (12 bytes), the encrypted key and the tag (16 bytes).
"""

import argparse
import base64
import json
import secrets
import sys
from typing import Any

import pkcs11
from pkcs11 import KeyType, Mechanism, ObjectClass
from pkcs11.mechanisms import GCMParams

_NONCE = 12
_TAG_BITS = 128


def main() -> int:
    """Answer the request on standard input; the status is 1, with a line that says why, where it fails."""
    options = _options().parse_args()
    try:
        request = _request(json.load(sys.stdin.buffer))
        token = pkcs11.lib(options.module).get_token(token_label=options.token)
        with token.open(user_pin=request.get("secret")) as session:
            answer = _OPERATIONS[request["operation"]](session, options.key, request)
    except pkcs11.PKCS11Error as error:
        why = str(error)
        print(f"{type(error).__name__}{f': {why}' if why else ''}", file=sys.stderr)
        return 1
    except (KeyError, ValueError, TypeError) as error:
        print(f"not a request that is known: {type(error).__name__}", file=sys.stderr)
        return 1
    json.dump(answer, sys.stdout)
    return 0


def _request(document: object) -> dict[str, str]:
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise TypeError("not an object of texts")
    return document


def _wrap(session: Any, label: str, request: dict[str, str]) -> dict[str, str]:
    nonce = secrets.token_bytes(_NONCE)
    sealed = _key(session, label).encrypt(_bytes(request, "key"), **_gcm(nonce, request))
    return {"wrapped": base64.b64encode(nonce + sealed).decode(), "key_id": label}


def _unwrap(session: Any, _label: str, request: dict[str, str]) -> dict[str, str]:
    """By the key that wrapped it, which may be an earlier one than wraps now."""
    wrapped = _bytes(request, "wrapped")
    key = _key(session, request["key_id"]).decrypt(wrapped[_NONCE:], **_gcm(wrapped[:_NONCE], request))
    return {"key": base64.b64encode(key).decode()}


_OPERATIONS = {"wrap": _wrap, "unwrap": _unwrap}


def _key(session: Any, label: str) -> Any:
    return session.get_key(object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=label)


def _gcm(nonce: bytes, request: dict[str, str]) -> dict[str, Any]:
    params = GCMParams(nonce, _bytes(request, "context"), _TAG_BITS)
    return {"mechanism": Mechanism.AES_GCM, "mechanism_param": params}


def _bytes(request: dict[str, str], name: str) -> bytes:
    return base64.b64decode(request[name], validate=True)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sftpd-pkcs11-key",
        description="Wraps keys of a vault by a PKCS#11 token; the secret is the PIN.",
    )
    parser.add_argument("--module", required=True, help="the PKCS#11 library of the token, an absolute path")
    parser.add_argument("--token", required=True, help="the label of the token")
    parser.add_argument(
        "--key", required=True, help="the label of the AES key that wraps; earlier ones unwrap"
    )
    return parser
