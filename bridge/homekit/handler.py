"""HAP-python's request handler with the door closed: who may ask what, and how it is answered."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import h11
import orjson
from chacha20poly1305_reuseable import ChaCha20Poly1305Reusable as ChaCha20Poly1305
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pyhap import tlv
from pyhap.hap_handler import HAP_TLV_TAGS as TAG
from pyhap.hap_handler import HAPServerHandler

from bridge.homekit import reads, writes
from bridge.homekit.answer import CONNECTION_AUTHORIZATION_REQUIRED, Answer, Refusal, Status
from bridge.homekit.setup import Refused, TlvError, pairing_id
from bridge.homekit.store import Keys, Pairing, StoreError
from bridge.homekit.tlv import Fields, Malformed, decode

log = logging.getLogger("bridge.homekit.network")

MOST_PAIRINGS = 16  # HAP's least; a family does not need more
LONGEST_TTL = 60.0  # seconds a timed write may be announced ahead
Step = Callable[[Keys], Keys]  # what becomes of the key store

M1, M2, M3, M4 = (bytes([number]) for number in (1, 2, 3, 4))
ADD, REMOVE, LIST = (bytes([number]) for number in (3, 4, 5))


class Handler(HAPServerHandler):  # type: ignore[misc]
    """One connection's requests. `connection` is its protocol, `driver` the bridge's."""

    ROUTES: ClassVar[dict[tuple[str, str], tuple[str, bool]]] = {
        ("POST", "/identify"): ("identify", False),
        ("POST", "/pair-setup"): ("pair_setup", False),
        ("POST", "/pair-verify"): ("pair_verify", False),
        ("POST", "/pairings"): ("pairings", True),
        ("GET", "/accessories"): ("accessories", True),
        ("GET", "/characteristics"): ("read", True),
        ("PUT", "/characteristics"): ("write", True),
        ("PUT", "/prepare"): ("prepare", True),
    }
    PATHS = frozenset(path for _, path in ROUTES)

    client_uuid: UUID | None
    is_encrypted: bool
    enc_context: dict[str, Any] | None
    response: Answer | None

    def __init__(self, driver: Any, address: Any, connection: Any) -> None:
        super().__init__(driver, address)
        self.driver = driver
        self.connection = connection
        self.query: dict[str, list[str]] = {}
        self.arrived = 0.0
        self._prepared: tuple[int, float] | None = None

    def dispatch(self, request: h11.Request, body: bytes | None = None) -> Answer:
        """Start to answer; what takes a while goes on in answer.task. Never raises."""
        self.response = answer = Answer()
        self.request_body = body or b""
        self.arrived = time.monotonic()
        try:
            self._route(request)
        except Refusal as refusal:
            answer.refuse(refusal)
        except (Malformed, ValueError, RecursionError):
            answer.refuse(Refusal(HTTPStatus.BAD_REQUEST, Status.INVALID))
        except Exception:
            log.exception("a request failed: %s", request.method.decode())
            answer.refuse(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, Status.UNABLE))
        finally:
            self.response = None
        return answer

    def _route(self, request: h11.Request) -> None:
        target = urlsplit(request.target.decode("ascii"))
        route = self.ROUTES.get((request.method.decode(), target.path))
        if route is None:
            http = HTTPStatus.METHOD_NOT_ALLOWED if target.path in self.PATHS else HTTPStatus.NOT_FOUND
            raise Refusal(http, Status.NOT_EXISTING)
        name, guarded = route
        if guarded and self.client_uuid is None:
            raise Refusal(CONNECTION_AUTHORIZATION_REQUIRED, Status.PRIVILEGES)
        self.query = parse_qs(target.query)
        getattr(self, name)()

    @property
    def answer(self) -> Answer:
        """The answer that is being made right now, before anything was awaited."""
        assert self.response is not None
        return self.response

    @property
    def keys(self) -> Keys:
        keys: Keys = self.driver.store.keys
        return keys

    @property
    def who(self) -> str:
        assert self.client_uuid is not None
        return controller_name(self.client_uuid)

    # Without a pairing

    def identify(self) -> None:
        if self.keys.pairings:
            raise Refusal(HTTPStatus.BAD_REQUEST, Status.PRIVILEGES)
        self.driver.identified("", "a stranger")
        self.answer.empty()

    def pair_setup(self) -> None:
        self.answer.make(self._pair_setup(self.answer, decode(self.request_body)))

    async def _pair_setup(self, answer: Answer, fields: Fields) -> None:
        before = self.keys.pairings
        try:
            answer.tlv(await self.driver.setup.step(self.connection, fields))
        except Malformed:
            answer.refuse(Refusal(HTTPStatus.BAD_REQUEST, Status.INVALID))
        if self.keys.pairings is not before:
            answer.after = self.driver.pairings_changed

    def pair_verify(self) -> None:
        fields = decode(self.request_body)
        step = fields[TAG.SEQUENCE_NUM]
        if self.is_encrypted:
            raise Malformed("verified already")
        try:
            if step == M1 and self.keys.pairings:
                self._pair_verify_one(fields)
            elif step == M3 and self.enc_context is not None:
                self._pair_verify_two(fields)
            else:
                raise Refused(TlvError.AUTHENTICATION)
        except (Refused, InvalidTag, InvalidSignature, Malformed, ValueError) as error:
            self.enc_context = None
            reason = error.error if isinstance(error, Refused) else TlvError.AUTHENTICATION
            reply = M2 if step == M1 else M4
            self.answer.tlv(tlv.encode(TAG.SEQUENCE_NUM, reply, TAG.ERROR_CODE, reason))

    def _pair_verify_two(self, tlv_objects: Fields) -> None:
        """As HAP-python's, which logs every pairing's key when it meets a stranger."""
        context, self.enc_context = self.enc_context, None
        assert context is not None
        cipher = ChaCha20Poly1305(context["pre_session_key"])
        fields = decode(bytes(cipher.decrypt(self.PVERIFY_2_NONCE, tlv_objects[TAG.ENCRYPTED_DATA], b"")))
        name = fields[TAG.USERNAME]
        pairing = self.keys.pairings.get(UUID(pairing_id(name)))
        if pairing is None:
            log.warning("a controller that is not paired was turned away")
            raise Refused(TlvError.AUTHENTICATION)
        signed = context["client_public"] + name + context["public_key"].public_bytes_raw()
        Ed25519PublicKey.from_public_bytes(pairing.public_key).verify(fields[TAG.PROOF], signed)
        self.answer.tlv(tlv.encode(TAG.SEQUENCE_NUM, M4))
        self.answer.shared_key = context["shared_key"]
        self.is_encrypted = True
        self.client_uuid = UUID(pairing.id)

    # With one

    def accessories(self) -> None:
        reads.accessories(self)

    def read(self) -> None:
        reads.characteristics(self)

    def write(self) -> None:
        writes.characteristics(self)

    def prepare(self) -> None:
        """Announce a timed write: only one is pending, and only for its time."""
        match json_object(self.request_body):
            case {"ttl": int(ttl), "pid": int(pid)} if ttl > 0:
                self._prepared = pid, self.arrived + min(ttl / 1000, LONGEST_TTL)
                self.answer.json({"status": Status.OK})
            case _:
                raise Refusal(HTTPStatus.BAD_REQUEST, Status.INVALID)

    def redeem(self, pid: object) -> bool:
        """Whether a write with this pid was announced and comes in time; good for one write."""
        prepared, self._prepared = self._prepared, None
        return prepared is not None and prepared[0] == pid and self.arrived <= prepared[1]

    def pairings(self) -> None:
        fields = decode(self.request_body)
        method = fields[TAG.REQUEST_TYPE]
        mine = self.keys.pairings.get(self.client_uuid) if self.client_uuid else None
        if mine is None or not mine.admin:
            self._pairings_error(self.answer, TlvError.AUTHENTICATION)
        elif method == ADD:
            self.answer.make(self._change_pairings(self.answer, self._adding(fields)))
        elif method == REMOVE:
            self.answer.make(self._change_pairings(self.answer, self._removing(fields)))
        elif method == LIST:
            self._handle_list_pairings()
        else:
            raise Malformed("no such method")

    def _adding(self, fields: Fields) -> Step:
        name, key = pairing_id(fields[TAG.USERNAME]), fields[TAG.PUBLIC_KEY]
        Ed25519PublicKey.from_public_bytes(key)
        if fields[TAG.PERMISSIONS] not in (b"\x00", b"\x01"):
            raise Malformed("no such permission")
        pairing = Pairing(name, key, fields[TAG.PERMISSIONS] == b"\x01")

        def step(keys: Keys) -> Keys:
            known = keys.pairings.get(UUID(name))
            if known is not None and known.public_key != key:
                raise Refused(TlvError.UNKNOWN)
            if known is None and len(keys.pairings) >= MOST_PAIRINGS:
                raise Refused(TlvError.MAX_PEERS)
            return replace(keys, pairings={**keys.pairings, UUID(name): pairing})

        return step

    def _removing(self, fields: Fields) -> Step:
        gone = UUID(pairing_id(fields[TAG.USERNAME]))

        def step(keys: Keys) -> Keys:
            left = {id: pairing for id, pairing in keys.pairings.items() if id != gone}
            if not any(pairing.admin for pairing in left.values()):
                left = {}
            return replace(keys, pairings=left)

        return step

    async def _change_pairings(self, answer: Answer, step: Step) -> None:
        try:
            await self.driver.store.change(step)
        except Refused as refusal:
            self._pairings_error(answer, refusal.error)
        except StoreError as error:
            log.error("the pairings stay as they were: %s", error)
            self._pairings_error(answer, TlvError.UNKNOWN)
        else:
            answer.tlv(tlv.encode(TAG.SEQUENCE_NUM, M2))
            answer.after = self.driver.pairings_changed

    def _pairings_error(self, answer: Answer, error: bytes) -> None:
        answer.tlv(tlv.encode(TAG.SEQUENCE_NUM, M2, TAG.ERROR_CODE, error))


def controller_name(id: UUID) -> str:
    """A controller as people see it: a short part of its id, which is no secret."""
    return f"HomeKit {str(id)[:4].upper()}"


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raises Malformed."""
    content = orjson.loads(body)
    if not isinstance(content, dict):
        raise Malformed("not an object")
    return content
