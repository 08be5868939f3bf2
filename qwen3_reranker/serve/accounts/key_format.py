"""A key as text: how it is made, checked for typing errors, and hashed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib

from qwen3_reranker.serve.problems import invalid_api_key

PREFIX = b"qr_live_"
_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_DIGITS = 43  # 62**43 is more than 2**256
_CHECKSUM_DIGITS = 6  # 62**6 is more than 2**32
_LENGTH = len(PREFIX) + _SECRET_DIGITS + _CHECKSUM_DIGITS
_SHOWN = len(PREFIX) + 8


def generate() -> str:
    """A new key: qr_live_, 32 random bytes and the CRC-32 of both in base62. It is not stored."""
    body = PREFIX + _base62(int.from_bytes(secrets.token_bytes(32)), _SECRET_DIGITS)
    return (body + _checksum(body)).decode()


def is_key(presented: bytes) -> bool:
    """Whether form and checksum are those of a key."""
    body = presented[:-_CHECKSUM_DIGITS]
    return (
        len(presented) == _LENGTH
        and presented.startswith(PREFIX)
        and hmac.compare_digest(_checksum(body), presented[-_CHECKSUM_DIGITS:])
    )


def parse(presented: bytes) -> bytes:
    """The key if its form and checksum are right. Raises Problem 401 otherwise, without the store."""
    if not is_key(presented):
        raise invalid_api_key()
    return presented


def digest(key: bytes, pepper: bytes | None) -> str:
    """The stored hash of a key, in hexadecimal: HMAC-SHA256 with a pepper, else SHA-256."""
    return hmac.new(pepper, key, hashlib.sha256).hexdigest() if pepper else hashlib.sha256(key).hexdigest()


def shown_part(key: str) -> str:
    """The prefix of a key that is shown to people."""
    return key[:_SHOWN]


def random_id(kind: str) -> str:
    """A unique id, such as key_4f9cAb12Zx90QwErTyUi."""
    return f"{kind}_{_base62(secrets.randbits(119), 20).decode()}"


def _checksum(body: bytes) -> bytes:
    return _base62(zlib.crc32(body), _CHECKSUM_DIGITS)


def _base62(number: int, digits: int) -> bytes:
    letters = bytearray()
    for _ in range(digits):
        number, digit = divmod(number, 62)
        letters.append(_DIGITS[digit])
    return bytes(reversed(letters))
