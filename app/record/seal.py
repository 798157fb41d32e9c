"""The seal: the signed last record of a segment.

It states what the segment holds and the head that its records led to. The chain alone shows
accidents; whoever can write the files could compute it anew. Without the key they cannot make the
seal that belongs to it.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from app.record.frames import Kind, SegmentHeader, frame
from app.record.signing import Keyring, Signer, key_id

__all__ = ["Seal", "decode_seal", "encode_seal", "seal_record"]

DOMAIN = b"stepdown journal seal v1\n"  # what is signed is a seal and can be nothing else


class Seal(Struct, frozen=True, kw_only=True):
    """Payload of a seal.

    Attributes:
        region: of the segment, as all below.
        writer: slot.
        epoch: of the writer.
        first_seq: of the first record.
        last_seq: of the last record before the seal; `first_seq - 1` where there is none.
        records: how many, the seal not among them.
        head: of the chain before the seal.
        key: id of the key that signed.
        signature: over all of the above.
    """

    v: int = 1
    region: int
    writer: int
    epoch: int
    first_seq: int
    last_seq: int
    records: int
    head: bytes
    key: str
    signature: bytes = b""

    @classmethod
    def of(cls, header: SegmentHeader, *, last_seq: int, head: bytes, signer: Signer) -> Seal:
        """Seal a segment.

        Args:
            header: of the segment.
            last_seq: of its last record.
            head: of the chain behind that record.
            signer: signs.
        """
        unsigned = cls(
            region=header.region,
            writer=header.writer,
            epoch=header.epoch,
            first_seq=header.first_seq,
            last_seq=last_seq,
            records=last_seq - header.first_seq + 1,
            head=head,
            key=key_id(signer.public_key),
        )
        return msgspec.structs.replace(unsigned, signature=signer.sign(unsigned.message))

    @property
    def message(self) -> bytes:
        """What is signed."""
        return DOMAIN + _encoder.encode(msgspec.structs.replace(self, signature=b""))

    def fault(
        self, header: SegmentHeader, *, last_seq: int, head: bytes, keyring: Keyring
    ) -> str | None:
        """What is wrong with the seal of a segment; None when it is good.

        Args:
            header: of the segment that it stands in.
            last_seq: of the record before it.
            head: of the chain before it.
            keyring: knows the keys that may sign.
        """
        stated = (self.region, self.writer, self.epoch, self.first_seq, self.last_seq, self.records)
        found = (
            header.region,
            header.writer,
            header.epoch,
            header.first_seq,
            last_seq,
            last_seq - header.first_seq + 1,
        )
        if stated != found or self.head != head:
            return "the seal is not of this segment"
        return keyring.verify(self.key, self.message, self.signature)


_encoder = msgspec.msgpack.Encoder()
_seal = msgspec.msgpack.Decoder(Seal)


def encode_seal(seal: Seal) -> bytes:
    """The seal as journal payload."""
    return _encoder.encode(seal)


def decode_seal(payload: bytes) -> Seal:
    """Read a seal's payload.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _seal.decode(payload)


def seal_record(
    header: SegmentHeader, *, last_seq: int, head: bytes, signer: Signer, written_ms: int
) -> bytes:
    """The record that closes a segment.

    Args:
        header: of the segment.
        last_seq: of its last record.
        head: of the chain behind that record.
        signer: signs.
        written_ms: now, ms since the epoch.
    """
    seal = Seal.of(header, last_seq=last_seq, head=head, signer=signer)
    return frame(
        kind=Kind.SEAL,
        seq=last_seq + 1,
        written_ms=written_ms,
        payload=encode_seal(seal),
        head=head,
    )
