"""Which decisions are explained, and from a decision's record to its explanation."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec
import numpy as np
import xxhash
from catboost import CatBoostError
from msgspec import Struct

from app.api.wire import Model
from app.models.artifact import Artifact, RungModel, objects
from app.models.explain import EVALUATOR, SUM_TOLERANCE, Explanation, explain
from app.publish import PublicationError
from app.record.explanation import INPUTS_MAX, ExplanationRecord
from app.record.frames import Kind, Record
from fallback.rung import Action, RungName

__all__ = ["Answer", "answers_to_explain", "explained"]

log = logging.getLogger(__name__)


class Answer(Struct, frozen=True, kw_only=True):
    """What an explanation needs of a decision record; the rest is skipped unread."""

    tenant: str
    decision_id: str
    action: str
    rung: str
    model: Model | None = None
    raw_score: float | None = None
    numbers: bytes = b""
    categories: list[bytes] = []


_answer = msgspec.msgpack.Decoder(Answer)


def answers_to_explain(records: Sequence[Record], *, approvals: float) -> list[Answer]:
    """The decisions among the records that a model made and that are to be explained.

    Args:
        records: of the journal, of any kind.
        approvals: share of the approvals, 0 to 1; every other action is always taken. Which
            ones follows from their ids, so that the same are taken a second time.
    """
    answers = []
    for record in records:
        if record.kind is not Kind.DECISION:
            continue
        try:
            answer = _answer.decode(record.payload)
        except msgspec.MsgspecError:  # it would come again for ever
            log.exception("%s is passed over", record.id)
            continue
        drawn = xxhash.xxh64_intdigest(answer.decision_id.encode()) / 2**64
        if answer.model is not None and (answer.action != Action.APPROVE or drawn < approvals):
            answers.append(answer)
    return answers


def explained(
    answers: Sequence[Answer], artifact: Callable[[str], Artifact]
) -> Iterator[ExplanationRecord]:
    """Explain decisions, those of one model in one call.

    Args:
        answers: of models.
        artifact: loads a version; raises PublicationError.

    Yields:
        Explanations of those that can be explained; the log says why the others cannot.
    """
    by_model: defaultdict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        assert answer.model is not None
        by_model[answer.model.version, answer.rung].append(answer)
    for (version, rung), group in by_model.items():
        try:
            loaded = artifact(version)
            model = loaded.full if rung == RungName.FULL else loaded.batch
            rows = [answer for answer in group if _fits(model, answer)]
            explanations = _explain(model, rows)
        except (PublicationError, CatBoostError) as error:
            log.error("%d decisions are passed over: %s", len(group), error)  # noqa: TRY400
            continue
        for answer, explanation in zip(rows, explanations, strict=True):
            if _adds_up(answer, explanation):
                yield _record(answer, version, explanation)


def _fits(model: RungModel, answer: Answer) -> bool:
    """Whether the recorded inputs have the shape of the model's."""
    facts = model.facts
    fits = (len(answer.numbers), len(answer.categories)) == (
        4 * len(facts.numbers),
        len(facts.categories),
    )
    if not fits:
        log.error("%s is passed over: it has other inputs than its model", answer.decision_id)
    return fits


def _explain(model: RungModel, rows: Sequence[Answer]) -> list[Explanation]:
    if not rows:
        return []
    joined = b"".join(row.numbers for row in rows)
    numbers = np.frombuffer(joined, dtype="<f4").reshape(len(rows), -1)
    return explain(model, numbers.copy(), objects([row.categories for row in rows]))


def _adds_up(answer: Answer, explanation: Explanation) -> bool:
    """Whether the explanation is of the score that was recorded."""
    recorded = float("nan") if answer.raw_score is None else answer.raw_score
    adds_up = abs(explanation.raw - recorded) <= SUM_TOLERANCE
    if not adds_up:
        log.error(
            "%s is passed over: its score is %r, the explanation adds up to %r",
            answer.decision_id,
            answer.raw_score,
            explanation.raw,
        )
    return adds_up


def _record(answer: Answer, version: str, explanation: Explanation) -> ExplanationRecord:
    return ExplanationRecord(
        tenant=answer.tenant,
        decision_id=answer.decision_id,
        artifact=version,
        rung=answer.rung,
        base=explanation.base,
        contributions=dict(islice(explanation.contributions.items(), INPUTS_MAX)),
        shares=dict(explanation.shares),
        evaluator=EVALUATOR,
    )
