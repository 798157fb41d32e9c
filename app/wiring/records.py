"""What writes records in one scorer process: the recorder, claims on ids, the intake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.client_default import ClientDecisions
from app.features.online import Source
from app.record.claim_store import ClaimStore
from app.record.claims import Claims
from app.record.frames import Kind
from app.record.intake import Intake
from app.record.journal import Journal, open_journal
from app.record.recorder import Recorder
from app.record.ring_file import RingRoom
from app.record.signing import ensure_signing_key
from app.record.token import TokenSigner, token_secret
from app.wiring.followed import Followed
from app.wiring.shared import Shared
from regions.topology import load_topology

__all__ = ["Records"]


class Records:
    """What writes records, and what signs them.

    Attributes:
        signer: of journals.
        token_signer: of answers.
        recorder: of decisions.
    """

    def __init__(self, shared: Shared, claim_store: ClaimStore | None) -> None:
        """Open the journal.

        Args:
            shared: of the process.
            claim_store: where the claims are; None where that is not read, either.

        Raises:
            ConfigurationError: this host has no number.
        """
        secrets = shared.settings.home / "secrets"
        self._shared = shared
        self._claim_store = claim_store
        self._host = shared.settings.host_number()
        self.signer = ensure_signing_key(secrets / "journal-key")
        self.recorder = Recorder(self._open_journal, region=shared.region, clock=shared.clock)
        self.token_signer = TokenSigner(token_secret(secrets / "token"))

    def claims(self, of: str, *, ttl_s: int, copies: Sequence[Source] = ()) -> Claims:
        """Claims on the ids of one kind of thing; see `Claims`."""
        return Claims(self._claim_store, of=of, ttl_s=ttl_s, copies=copies)

    def intake(self) -> Intake:
        """Takes outcomes and labels."""
        ttl_s = self._shared.settings.follow_up_ttl_s
        return Intake(
            recorder=self.recorder,
            claims={
                kind: self.claims(kind.name.lower(), ttl_s=ttl_s)
                for kind in (Kind.OUTCOME, Kind.LABEL)
            },
            regions={region.number: name for name, region in load_topology().regions.items()},
            region=self._shared.region,
            time=self._shared.time,
        )

    def client_decisions(self, intake: Intake, followed: Followed) -> ClientDecisions:
        """Takes what clients decided by themselves."""
        settings = self._shared.settings
        return ClientDecisions(
            region=settings.region,
            claims=self.claims("attempt", ttl_s=settings.follow_up_ttl_s),
            intake=intake,
            recorder=self.recorder,
            policy=followed.policy,
            rates=followed.rates,
            versions=followed.versions,
            merchant=followed.merchant,
            signer=self.token_signer,
            telemetry=self._shared.telemetry,
            time=self._shared.time,
        )

    def _open_journal(self) -> Journal:
        settings = self._shared.settings
        ring = None
        if settings.journal_ring_folder:
            folder = Path(settings.journal_ring_folder)
            ring = RingRoom(folder=folder, size=settings.journal_ring_bytes)
        return open_journal(
            settings.journal,
            region=self._shared.region,
            host=self._host,
            signer=self.signer,
            fsync_ms=settings.fsync_ms,
            segment_bytes=settings.journal_segment_bytes,
            bytes_max=settings.journal_bytes_max,
            ring=ring,
        )
