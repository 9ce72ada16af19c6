"""Validation: what the averaged weights answer to faces as in service, in the figures of `converters.evaluation`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch

from converters.datasets.expressions import spelling
from converters.evaluation.attributes import Sample, age_figures, expression_figures, gender_figures
from converters.evaluation.metrics import concordance, rmse, sign_agreement
from converters.train.answers import logits, probabilities
from converters.train.batches import Crops, Pool, Scale
from edgeface.attributes import KINDS
from edgeface.bundle import AttributeHead, CategoricalHead
from edgeface.errors import UsageError
from edgeface.types import F32, AgeEstimate, Head, LabelEstimate, Task

AT_ONCE = 256
Figures = dict[str, float]
"""By name such as ``fairface bin accuracy`` or ``utkface MAE years age 71+``; shares in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A part that is judged: its set's name and its faces."""

    name: str
    faces: Crops


def answer_all(
    module: Any, heads: Mapping[Task, AttributeHead], faces: Crops, scale: Scale, *, bfloat16: bool
) -> dict[Task, F32]:
    """Probabilities (N, K) of a module in evaluation mode for all faces of a part."""
    pool, found = Pool([faces]), list[dict[Task, F32]]()
    assert not module.training
    for start in range(0, len(pool), AT_ONCE):
        seen = scale(pool.plain(range(start, min(start + AT_ONCE, len(pool)))))
        with torch.no_grad(), torch.autocast(seen.device.type, torch.bfloat16, enabled=bfloat16):
            said = logits(module, heads, seen)
        found.append({task: rows.cpu().numpy() for task, rows in probabilities(said, heads).items()})
    return {task: np.concatenate([one[task] for one in found]) for task in heads}


def judge(
    module: Any, heads: Mapping[Task, AttributeHead], parts: Sequence[Judged], scale: Scale, *, bfloat16: bool
) -> Figures:
    """All figures of all parts."""
    found: Figures = {}
    for part in parts:
        answers = answer_all(module, heads, part.faces, scale, bfloat16=bfloat16)
        found |= figures_of(part.name, answers, heads, part.faces.rows)
    return found


def figures_of(
    name: str, answers: Mapping[Task, F32], heads: Mapping[Task, AttributeHead], rows: Sequence[Mapping[str, str]]
) -> Figures:
    """All figures of one part: of probabilities (N, K) by question, and the labels of each."""
    return {
        " ".join((name, metric, *([] if group == "all" else [group]))): round(value, 4)
        for metric, group, value in _figures(answers, heads, rows)
    }


def reader_of(task: Task, head: AttributeHead) -> Head:
    """Return who reads probabilities as `answers.probabilities` gives them, as a device does."""
    return KINDS[type(head)][0](task, _read(head))


def score(figures: Figures, weights: Mapping[str, float]) -> float:
    """Weighted sum by which the best checkpoint is chosen; UsageError names a figure that is not there."""
    for name in weights:
        if name not in figures:
            known = [one for one in figures if " age " not in one and " race " not in one]
            raise UsageError(f"[validation] score: there is no figure '{name}'", fix=f"choose among {', '.join(known)}")
    return sum(weight * figures[name] for name, weight in weights.items())


def _figures(
    answers: Mapping[Task, F32], heads: Mapping[Task, AttributeHead], rows: Sequence[Mapping[str, str]]
) -> Iterator[tuple[str, str, float]]:
    """(metric, group, value) of every question."""
    estimates: dict[Task, list[Any]] = {}
    for task, head in heads.items():
        reader = reader_of(task, head)
        estimates[task] = [reader.estimate(row) for row in reader.probabilities({head.output: answers[task]})]
    if "age" in heads:
        samples = _samples(rows, "age", estimates)
        exact = all(sample.labels["age"].isdigit() for sample in samples)
        yield from _shown(age_figures(samples, exact=exact))
    if "gender" in heads:
        samples = _samples(rows, "gender", estimates)
        exact = all(sample.labels.get("age", "").isdigit() for sample in samples)
        yield from _shown(gender_figures(samples, exact=exact), "gender ")
    if "expression" in heads:
        yield from _expression(answers["expression"], heads["expression"], rows)
    if "affect" in heads:
        yield from _affect(answers["affect"], rows)


def _read(head: AttributeHead) -> AttributeHead:
    """Return the head of answers whose columns are chosen and that are probabilities already."""
    plain = msgspec.structs.replace(head, columns=())
    return msgspec.structs.replace(plain, activation="none") if isinstance(plain, CategoricalHead) else plain


def _samples(rows: Sequence[Mapping[str, str]], task: Task, estimates: Mapping[Task, Sequence[Any]]) -> list[Sample]:
    """Faces that have a label for a question, and what was said of them."""
    found = []
    for number, row in enumerate(rows):
        if not row.get(task):
            continue
        age, gender = (estimates[one][number] if one in estimates else None for one in ("age", "gender"))
        found.append(
            Sample(
                labels=row,
                years=age.years if isinstance(age, AgeEstimate) else None,
                gender=gender.label if isinstance(gender, LabelEstimate) else None,
            )
        )
    return found


def _shown(figures: Iterator[tuple[str, str, Any]], before: str = "") -> Iterator[tuple[str, str, float]]:
    for metric, group, figure in figures:
        if metric != "found" and figure.count:
            percent = "accuracy" in metric
            yield before + metric, group, (100 if percent else 1) * figure.value


def _expression(
    answers: F32, head: AttributeHead, rows: Sequence[Mapping[str, str]]
) -> Iterator[tuple[str, str, float]]:
    assert isinstance(head, CategoricalHead)
    labels = tuple(map(spelling, head.labels))
    known = [number for number, row in enumerate(rows) if row.get("emotion")]
    words = [spelling(rows[number]["emotion"]) for number in known]
    truth = np.array([labels.index(word) if word in labels else -1 for word in words], np.int64)
    for metric, group, figure in expression_figures(truth, answers[known].argmax(1).astype(np.int64), labels):
        yield metric, group, 100 * figure.value


def _affect(answers: F32, rows: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str, float]]:
    known = [number for number, row in enumerate(rows) if row.get("valence") and row.get("arousal")]
    for axis, name in enumerate(("valence", "arousal")):
        truth = np.array([float(rows[number][name]) for number in known], np.float64)
        said = answers[known, axis].astype(np.float64)
        if len(truth):
            yield f"{name} RMSE", "all", rmse(truth, said)
            yield f"{name} CCC", "all", concordance(truth, said)
            yield f"{name} SAGR", "all", 100 * sign_agreement(truth, said)
