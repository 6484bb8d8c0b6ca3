"""What OpenSSL sets up at its first use, done where sessions are forked from: they share its memory.

Only the zygote loads this. Random numbers are safe: OpenSSL seeds its generator anew in each child (RAND(7)).
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def rehearse() -> None:
    """Do what a key exchange does, and seal and open a packet; nothing of it is kept."""
    ours, theirs = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    secret = ours.exchange(X25519PrivateKey.generate().public_key())
    theirs.public_key().public_bytes_raw()
    MLKEM768PrivateKey.generate().public_key().encapsulate()
    for name in ("sha256", "sha512"):
        hmac.digest(secret, hashlib.new(name, secret).digest(), name)
    for size in (16, 32):
        cipher, nonce, packet = AESGCM(secret[:size]), bytes(12), bytearray(32)
        cipher.encrypt_into(nonce, bytes(16), b"", packet)
        cipher.decrypt_into(nonce, packet, b"", bytearray(16))


rehearse()
