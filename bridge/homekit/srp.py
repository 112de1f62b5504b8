"""HAP-python's side of SRP-6a with the checks and the padding it leaves out."""

import hashlib
import hmac
import os

from pyhap.hsrp import Server
from pyhap.params import get_srp_context

USER = b"Pair-Setup"
LENGTH = 384  # bytes of the 3072-bit group
KEY_LENGTH = 64  # bytes of SHA-512
SALT_LENGTH = 16


class WrongProof(Exception):
    """The controller does not know the setup code."""


class Verifier:
    """What is kept of a setup code; made once, since it costs an exponentiation."""

    def __init__(self, code: str) -> None:
        self._context = get_srp_context(LENGTH * 8, hashlib.sha512, SALT_LENGTH)
        self._code = code.encode()
        self._salt = os.urandom(SALT_LENGTH)
        self._verifier: int | None = None

    def exchange(self) -> "Exchange":
        exchange = Exchange(self._context, USER, self._code, s=self._salt, v=self._verifier)
        self._verifier = exchange.v
        return exchange


class Exchange(Server):  # type: ignore[misc]
    """One pair-setup's key exchange.

    A number goes into a hash in its full length (RFC 5054, and every other HomeKit
    controller); HAP-python drops leading zeros, so that one right code in eighty fails.
    """

    Bb: bytes
    Kb: bytes
    K: int

    def challenge(self) -> tuple[bytes, bytes]:
        """Salt and public key, 16 and 384 bytes."""
        salt: bytes = self.s
        return salt, self._pad(self.Bb)

    def prove(self, public_key: bytes, proof: bytes) -> bytes:
        """The bridge's proof in answer to the controller's; raises WrongProof."""
        number = int.from_bytes(public_key, "big")
        # A multiple of N makes the shared secret 0, whatever the code.
        if len(public_key) > LENGTH or number % self.N == 0:
            raise WrongProof
        self.set_A(self._pad(public_key))
        if not hmac.compare_digest(self.M, proof):
            raise WrongProof
        answer: bytes = self.HAMK
        return answer

    @property
    def session_key(self) -> bytes:
        return self.Kb

    def _pad(self, number: bytes) -> bytes:
        return number.rjust(LENGTH, b"\0")

    def _get_K(self) -> int:
        return self._hexdigest_int16(self._pad(self.Sb))  # type: ignore[no-any-return]

    def _get_M(self) -> bytes:
        self.Kb = self.K.to_bytes(KEY_LENGTH, "big")
        self.Bb = self._pad(self.Bb)
        return super()._get_M()  # type: ignore[no-any-return]
