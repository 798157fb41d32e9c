"""What a verification says."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Finding", "Report", "Tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to know about a journal.

    Attributes:
        file: below the region's journal folder.
        seq: of the record concerned; None where it is not about one.
        what: a sentence.
    """

    file: str
    seq: int | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a verification.

    Attributes:
        ok: whether nothing was found.
        writers: that there are.
        segments: read to their end.
        removed: segments of which a stub is left here.
        records: read, seals and gaps among them.
        unanchored: records behind the newest anchor of their writer.
        missed: decisions that were answered without a record, as the gaps say.
        findings: what must not be.
        notes: what may be, and is good to know.
    """

    ok: bool
    writers: int
    segments: int
    removed: int
    records: int
    unanchored: int
    missed: int
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]


@dataclass(slots=True)
class Tally:
    """A report in the making."""

    writers: int = 0
    segments: int = 0
    removed: int = 0
    records: int = 0
    unanchored: int = 0
    missed: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def find(self, file: str, what: str, seq: int | None = None) -> None:
        """Add what must not be."""
        self.findings.append(Finding(file=file, seq=seq, what=what))

    def note(self, file: str, what: str, seq: int | None = None) -> None:
        """Add what may be, and is good to know."""
        self.notes.append(Finding(file=file, seq=seq, what=what))

    def report(self) -> Report:
        """The outcome."""
        return Report(
            ok=not self.findings,
            writers=self.writers,
            segments=self.segments,
            removed=self.removed,
            records=self.records,
            unanchored=self.unanchored,
            missed=self.missed,
            findings=tuple(self.findings),
            notes=tuple(self.notes),
        )
