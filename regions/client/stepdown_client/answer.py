"""The answer to an attempt, and what binds it to the attempt.

A region signs each answer's token with the tenant's answer key (HMAC-SHA256), which comes with the
signed routing document:

    v1.<base64url(MessagePack [decision, attempt, body hash, action, expiry])>.<base64url(HMAC)>
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from stepdown_client.errors import ForgedError, ServerError

__all__ = [
    "CLIENT_DEFAULT",
    "Action",
    "Answer",
    "Model",
    "ReasonText",
    "ThresholdsShown",
    "may_be_redacted",
    "read_answer",
]

Action = Literal["approve", "step_up", "decline"]

CLIENT_DEFAULT = "client_default"
# What looks like a card number in free text is redacted by the region before it hashes the body.
_CARD_DIGITS = b"0" * 13
_LARGE = re.compile(rb"[0-9]e\+?[12][0-9]")
_ALL_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)


class ReasonText(Struct, frozen=True, kw_only=True):
    """Why, in a code for machines and a sentence for people."""

    code: str
    text: str


class ThresholdsShown(Struct, frozen=True, kw_only=True):
    """Probabilities from which the action becomes step-up or decline for this attempt."""

    step_up: float | None
    decline: float


class Model(Struct, frozen=True, kw_only=True):
    """The model that scored, and what its training data was."""

    name: str
    version: str
    provenance: str


class Answer(Struct, frozen=True, kw_only=True):
    """What to do with an attempt.

    Attributes:
        action: what the checkout does.
        rung: that decided; `client_default` where no region did.
        decision_id: of the region's; None where no region decided.
        region: that decided.
        signed: whether a region's signature on this answer was verified.
        token: to hand back with outcomes.
        tries: requests that were sent for it.
        elapsed_ms: from the call to the answer, as the caller waited.
    """

    attempt_id: str
    action: Action
    rung: str
    decision_id: str | None = None
    score: float | None = None
    not_higher: dict[str, str] = {}
    reasons: list[ReasonText] = []
    thresholds: ThresholdsShown | None = None
    model: Model | None = None
    policy_version: int = 0
    region: str | None = None
    as_of: str | None = None
    feature_age_ms: int | None = None
    took_ms: float = 0.0
    token: str | None = None
    signed: bool = False
    tries: int = 0
    elapsed_ms: float = 0.0


class _Claims(NamedTuple):
    decision_id: str
    attempt_id: str
    body_hash: bytes
    action: str
    expires_s: int


_answer = msgspec.json.Decoder(Answer)
_claims = msgspec.msgpack.Decoder(_Claims)


def read_answer(
    content: bytes,
    *,
    attempt_id: str,
    body: bytes,
    body_hash: bytes,
    key: bytes | None,
    now_s: float,
) -> Answer:
    """Read what an endpoint answered, and verify that a region of ours answered this attempt.

    Args:
        content: of the response.
        attempt_id: that was asked for.
        body: that was sent.
        body_hash: of it.
        key: the tenant's answer key; None while there is no routing document, and then nothing but
            the attempt's id is compared and the answer counts as unsigned.
        now_s: wall clock, seconds since the epoch.

    Raises:
        ServerError: it is no answer.
        ForgedError: it is one to something else, or not signed by a region.
    """
    try:
        answer = _answer.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ServerError(f"no decision: {error}") from None
    if answer.attempt_id != attempt_id:
        raise ForgedError("the answer is to another attempt")
    if key is None:
        return msgspec.structs.replace(answer, signed=False)
    claims = _verified(answer.token or "", key)
    if (claims.decision_id, claims.attempt_id, claims.action) != (
        answer.decision_id,
        attempt_id,
        answer.action,
    ):
        raise ForgedError("the token is of another answer")
    if claims.body_hash != body_hash and not may_be_redacted(body):
        raise ForgedError("the answer is to another body")
    if claims.expires_s <= now_s:
        raise ForgedError("the answer has expired")
    return msgspec.structs.replace(answer, signed=True)


def may_be_redacted(body: bytes) -> bool:
    """Whether the region may have redacted free text of a body before it hashed it."""
    return _CARD_DIGITS in body.translate(_ALL_ALIKE, b" -") or bool(_LARGE.search(body))


def _verified(token: str, key: bytes) -> _Claims:
    signed, _, mac = token.encode("utf-8", "replace").rpartition(b".")
    expected = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=")
    if not hmac.compare_digest(expected, mac):
        raise ForgedError("the token is not signed by a region")
    version, _, body = signed.partition(b".")
    try:
        if version != b"v1":
            raise ForgedError(f"tokens of {version!r} are not known here")
        return _claims.decode(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    except (binascii.Error, msgspec.MsgspecError) as error:
        raise ForgedError(f"the token does not read: {error}") from None
