"""Pair-setup: from the setup code to a pairing, one controller at a time."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from chacha20poly1305_reuseable import ChaCha20Poly1305Reusable as ChaCha20Poly1305
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pyhap import tlv
from pyhap.hap_crypto import hap_hkdf, pad_tls_nonce
from pyhap.hap_handler import HAP_TLV_TAGS as TAG

from bridge.homekit.srp import Exchange, Verifier, WrongProof
from bridge.homekit.store import Keys, Pairing, Store, StoreError
from bridge.homekit.tlv import Fields, Malformed, decode

log = logging.getLogger("bridge.homekit.network")

MOST_ATTEMPTS = 100  # failed pair-setups, then none until somebody unlocks it (HAP, kTLVError_MaxTries)
IDLE = 30.0  # seconds after which a pair-setup that says nothing frees its place

ENCRYPT = (b"Pair-Setup-Encrypt-Salt", b"Pair-Setup-Encrypt-Info")
CONTROLLER_SIGN = (b"Pair-Setup-Controller-Sign-Salt", b"Pair-Setup-Controller-Sign-Info")
ACCESSORY_SIGN = (b"Pair-Setup-Accessory-Sign-Salt", b"Pair-Setup-Accessory-Sign-Info")
FROM_CONTROLLER, FROM_ACCESSORY = pad_tls_nonce(b"PS-Msg05"), pad_tls_nonce(b"PS-Msg06")


class TlvError:
    """HAP's kTLVError codes."""

    UNKNOWN = b"\x01"
    AUTHENTICATION = b"\x02"
    MAX_PEERS = b"\x04"
    MAX_TRIES = b"\x05"
    UNAVAILABLE = b"\x06"
    BUSY = b"\x07"


class Refused(Exception):
    """The controller is told why with one of TlvError."""

    def __init__(self, error: bytes) -> None:
        super().__init__(error.hex())
        self.error = error


class PairSetup:
    """The one pair-setup that may be under way, and the count of those that failed."""

    def __init__(self, store: Store, code: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._verifier = Verifier(code)
        self._clock = clock
        self._who: object = None
        self._heard = 0.0
        self._exchange: Exchange | None = None
        self._proved = False

    @property
    def locked(self) -> bool:
        return self._store.keys.attempts >= MOST_ATTEMPTS

    def leave(self, who: object) -> None:
        """Free the place if `who` holds it."""
        if who is self._who:
            self._who = self._exchange = None
            self._proved = False

    async def step(self, who: object, fields: Fields) -> bytes:
        """Answer M1, M3 or M5 of the controller behind `who`, a connection; raises Malformed."""
        number = fields[TAG.SEQUENCE_NUM]
        steps = {b"\x01": self._start, b"\x03": self._prove, b"\x05": self._exchange_keys}
        if number not in steps:
            raise Malformed("no such step of pair-setup")
        reply = bytes([number[0] + 1])
        try:
            return bytes(tlv.encode(TAG.SEQUENCE_NUM, reply, *await steps[number](who, fields)))
        except Refused as refusal:
            return bytes(tlv.encode(TAG.SEQUENCE_NUM, reply, TAG.ERROR_CODE, refusal.error))

    async def _start(self, who: object, fields: Fields) -> tuple[bytes, ...]:
        if self._store.keys.pairings:
            raise Refused(TlvError.UNAVAILABLE)
        if self.locked:
            log.warning(
                "pairing refused: %d attempts with a wrong code; `bellpull pair --unlock` allows it again",
                MOST_ATTEMPTS,
            )
            raise Refused(TlvError.MAX_TRIES)
        if self._who not in (None, who) and self._clock() - self._heard < IDLE:
            raise Refused(TlvError.BUSY)
        self._who, self._heard, self._proved = who, self._clock(), False
        self._exchange = self._verifier.exchange()
        salt, public_key = self._exchange.challenge()
        return TAG.SALT, salt, TAG.PUBLIC_KEY, public_key

    def _turn_of(self, who: object, *, proved: bool) -> Exchange:
        """The exchange `who` is in; out of turn it is over."""
        exchange = self._exchange
        if who is not self._who or exchange is None or proved is not self._proved or self._idle():
            self.leave(who)
            raise Refused(TlvError.AUTHENTICATION)
        self._heard = self._clock()
        return exchange

    def _idle(self) -> bool:
        return self._clock() - self._heard >= IDLE

    async def _prove(self, who: object, fields: Fields) -> tuple[bytes, ...]:
        exchange = self._turn_of(who, proved=False)
        try:
            proof = exchange.prove(fields[TAG.PUBLIC_KEY], fields[TAG.PASSWORD_PROOF])
        except WrongProof:
            self._exchange = None
            await self._count_failure()
            self.leave(who)
            raise Refused(TlvError.AUTHENTICATION) from None
        self._proved = True
        return TAG.PASSWORD_PROOF, proof

    async def _count_failure(self) -> None:
        """Counted on disk before the answer, or the count would start again with the bridge."""
        try:
            await self._store.change(lambda keys: replace(keys, attempts=keys.attempts + 1))
        except StoreError as error:
            log.error("%s", error)
            raise Refused(TlvError.UNKNOWN) from None
        log.warning("pairing with a wrong code, attempt %d of %d", self._store.keys.attempts, MOST_ATTEMPTS)

    async def _exchange_keys(self, who: object, fields: Fields) -> tuple[bytes, ...]:
        exchange = self._turn_of(who, proved=True)
        key = exchange.session_key
        cipher = ChaCha20Poly1305(hap_hkdf(key, *ENCRYPT))
        try:
            sealed = decode(bytes(cipher.decrypt(FROM_CONTROLLER, fields[TAG.ENCRYPTED_DATA], b"")))
            pairing = controller(sealed, hap_hkdf(key, *CONTROLLER_SIGN))
        except (InvalidTag, InvalidSignature, Malformed, ValueError):
            self.leave(who)
            raise Refused(TlvError.AUTHENTICATION) from None
        await self._keep(pairing)
        self.leave(who)
        answer = introduce(self._store.keys, hap_hkdf(key, *ACCESSORY_SIGN))
        return TAG.ENCRYPTED_DATA, bytes(cipher.encrypt(FROM_ACCESSORY, answer, b""))

    async def _keep(self, pairing: Pairing) -> None:
        def step(keys: Keys) -> Keys:
            return replace(keys, attempts=0, pairings={UUID(pairing.id): pairing})

        try:
            await self._store.change(step)
        except StoreError as error:
            log.error("pairing refused: %s", error)
            raise Refused(TlvError.UNKNOWN) from None


def controller(fields: Fields, salt: bytes) -> Pairing:
    """Who signed M5. Raises InvalidSignature, Malformed, ValueError."""
    name, public_key = fields[TAG.USERNAME], fields[TAG.PUBLIC_KEY]
    signer = Ed25519PublicKey.from_public_bytes(public_key)
    signer.verify(fields[TAG.PROOF], salt + name + public_key)
    return Pairing(pairing_id(name), public_key, admin=True)


def pairing_id(name: bytes) -> str:
    """The text of a controller's UUID, spelt as it came. Raises ValueError."""
    text = name.decode("ascii")
    if len(text) != 36:
        raise ValueError("not a controller's id")
    UUID(text)
    return text


def introduce(keys: Keys, salt: bytes) -> bytes:
    """The bridge's id, public key and signature, in TLV."""
    signer = Ed25519PrivateKey.from_private_bytes(keys.private_key)
    public_key = signer.public_key().public_bytes_raw()
    name = keys.device_id.encode()
    proof = signer.sign(salt + name + public_key)
    return bytes(tlv.encode(TAG.USERNAME, name, TAG.PUBLIC_KEY, public_key, TAG.PROOF, proof))
