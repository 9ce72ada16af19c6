"""Age, gender and expression on labelled faces, through the device's own detector, crop, network and decoding.

Two ways to present a face: *end to end* (the chip is padded by 30 % on each side, the detector finds the face, the
manifest's rule cuts it out; a face that is not found is a miss and counted) and *chip* (FER-2013: the whole picture
is the crop, as its makers meant it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from converters.evaluate.data import Chip
from converters.evaluate.statistics import Figure, mean_figure, share_figure
from edgeface.analyze import analyze_image
from edgeface.config import Config
from edgeface.runtime import run_faces
from edgeface.types import AgeEstimate, Image, LabelEstimate
from edgeface.worker import Networks

PADDING = 0.3
"""Share of the chip's side that is added on each side, by repeating the border."""
BATCH = 64
ENLARGED = 4
"""Factor for FER-2013's chips before a detector looks for the face."""

FAIRFACE_BINS = {
    "0-2": (0, 2),
    "3-9": (3, 9),
    "10-19": (10, 19),
    "20-29": (20, 29),
    "30-39": (30, 39),
    "40-49": (40, 49),
    "50-59": (50, 59),
    "60-69": (60, 69),
    "70+": (70, 120),
}
UTK_BANDS = {"0-9": (0, 9), "10-20": (10, 20), "21-40": (21, 40), "41-60": (41, 60), "61-120": (61, 120)}
DECADES = {
    "0-9": (0, 9),
    "10-20": (10, 20),
    "21-30": (21, 30),
    "31-40": (31, 40),
    "41-50": (41, 50),
    "51-60": (51, 60),
    "61-70": (61, 70),
    "71+": (71, 120),
}
GENDERS = {"M": "male", "F": "female"}


@dataclass(frozen=True, slots=True)
class Look:
    """What was said of one chip: its labels, age in years and gender as the network names it; None for a miss."""

    labels: Mapping[str, str]
    years: float | None
    gender: str | None


def end_to_end(chips: Iterable[Chip], networks: Networks, config: Config) -> Iterator[Look]:
    """Find the face on every padded chip and read its age and gender; the largest face is the one that is meant."""
    for chip in chips:
        image = padded(chip.image)
        analysis = analyze_image(image, networks, config, path="", min_score=config.detector.score)
        if not analysis.faces:
            yield Look(chip.labels, None, None)
            continue
        face = max(analysis.faces, key=lambda f: (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]))
        age, gender = face.estimates.get("age"), face.estimates.get("gender")
        yield Look(
            chip.labels,
            age.years if isinstance(age, AgeEstimate) else None,
            gender.label if isinstance(gender, LabelEstimate) else None,
        )


def padded(image: Image) -> Image:
    """A chip with a border of its own edge pixels, so that a detector has room around the face."""
    border = round(PADDING * image.shape[0])
    wide: Image = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    return wide


def age_figures(looks: Sequence[Look], *, exact: bool) -> Iterator[tuple[str, str, Figure]]:
    """Figures of age: (metric, group, figure).

    ``exact`` for a set with ages in years (UTKFace): mean absolute error, root mean square error and bias over all,
    21 to 60, by decade, gender and race. Otherwise (FairFace's bins): share of right bins and mean years outside the
    bin, over all, by bin, gender and race. How many faces were found is told by race too: who is missed is not counted
    as an error.
    """
    found = [look for look in looks if look.years is not None]
    yield "found", "all", share_figure([look.years is not None for look in looks])
    if not found:
        return
    for group, rows in _by(looks, _races(looks)):
        yield "found", group, share_figure([look.years is not None for look in rows])
    everybody: dict[str, Callable[[Look], bool]] = {"all": lambda _: True}
    people = _genders() | _races(found)
    if not exact:
        bins = {f"age {name}": _between(*span) for name, span in FAIRFACE_BINS.items()}
        for group, rows in _by(found, everybody | bins | people):
            yield "bin accuracy", group, share_figure([_outside(look) == 0 for look in rows])
            yield "years outside bin", group, mean_figure([_outside(look) for look in rows])
        return
    decades = {f"age {name}": _between(*span) for name, span in DECADES.items()}
    for group, rows in _by(found, everybody | {"21-60": _between(21, 60)} | decades | people):
        errors = np.array([_error(look) for look in rows])
        yield "MAE years", group, mean_figure(np.abs(errors).tolist())
        yield "bias years", group, mean_figure(errors.tolist())
        if group in ("all", "21-60"):
            yield "RMSE years", group, mean_figure(np.square(errors).tolist()).root()


def gender_figures(looks: Sequence[Look], *, exact: bool) -> Iterator[tuple[str, str, Figure]]:
    """Accuracy of gender as the data labels it: all, from 10 years, by gender, age band and race."""
    found = [look for look in looks if look.gender is not None]
    yield "found", "all", share_figure([look.gender is not None for look in looks])
    groups: dict[str, Callable[[Look], bool]] = {"all": lambda _: True, "from 10 years": _between(10, 120)}
    bands = UTK_BANDS if exact else FAIRFACE_BINS
    groups |= {f"age {name}": _between(*span) for name, span in bands.items()} | _genders() | _races(found)
    for group, rows in _by(found, groups):
        yield (
            "accuracy",
            group,
            share_figure([look.gender == GENDERS[look.labels["gender"]] for look in rows]),
        )


def expression_on_chips(
    chips: Iterable[Chip], networks: Networks, name: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], tuple[str, ...]]:
    """True and said label numbers on chips that are the crop themselves, and the labels in the network's order."""
    network, runner, head = networks.attributes[name]
    labels = network.attribute_head().labels  # type: ignore[union-attr]
    spec = network.input
    assert spec.width and spec.height
    pixels: list[Image] = []
    truth: list[int] = []
    for chip in chips:
        grey = cv2.cvtColor(chip.image, cv2.COLOR_BGR2GRAY)
        pixels.append(cv2.resize(grey, (spec.width, spec.height), interpolation=cv2.INTER_LINEAR)[..., None])
        truth.append(labels.index(chip.labels["emotion"]))
    said: list[int] = []
    for start in range(0, len(pixels), BATCH):
        outputs = run_faces(runner, network, np.stack(pixels[start : start + BATCH]))
        said += head.probabilities(outputs).argmax(axis=1).tolist()
    return np.array(truth), np.array(said), labels


def expression_end_to_end(
    chips: Iterable[Chip], networks: Networks, config: Config, name: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Figure]:
    """True and said label numbers on padded chips on which the detector finds a face, and the share of those.

    The chips are enlarged: at 48 pixels both detectors miss many of them.
    """
    labels = networks.attributes[name][0].attribute_head().labels  # type: ignore[union-attr]
    rows: list[tuple[int, int]] = []
    hits: list[bool] = []
    for chip in chips:
        large = cv2.resize(chip.image, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
        analysis = analyze_image(padded(large), networks, config, path="", min_score=config.detector.score)
        hits.append(bool(analysis.faces))
        if analysis.faces:
            face = max(analysis.faces, key=lambda f: (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]))
            said = face.estimates["expression"]
            assert isinstance(said, LabelEstimate)
            rows.append((labels.index(chip.labels["emotion"]), labels.index(said.label)))
    truth, answers = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return truth, answers, share_figure(hits)


def expression_figures(
    truth: npt.NDArray[np.int64], said: npt.NDArray[np.int64], labels: Sequence[str]
) -> Iterator[tuple[str, str, Figure]]:
    """Accuracy, macro-F1, and the sensitivity of each label."""
    yield "accuracy", "all", share_figure((truth == said).tolist())
    scores = [
        2 * float(((truth == k) & (said == k)).sum()) / max(1.0, float((truth == k).sum() + (said == k).sum()))
        for k in range(len(labels))
    ]
    yield "macro-F1", "all", Figure(float(np.mean(scores)), len(truth), None, None)
    for number, label in enumerate(labels):
        of_label = truth == number
        if of_label.any():
            yield "sensitivity", label, share_figure((said[of_label] == number).tolist())


def _by(looks: Sequence[Look], groups: Mapping[str, Callable[[Look], bool]]) -> Iterator[tuple[str, Sequence[Look]]]:
    for group, belongs in groups.items():
        rows = [look for look in looks if belongs(look)]
        if rows:
            yield group, rows


def _between(low: int, high: int) -> Callable[[Look], bool]:
    return lambda look: low <= _age_range(look)[0] and _age_range(look)[1] <= high


def _labelled(column: str, value: str) -> Callable[[Look], bool]:
    return lambda look: look.labels[column] == value


def _genders() -> dict[str, Callable[[Look], bool]]:
    return {f"gender {word}": _labelled("gender", letter) for letter, word in GENDERS.items()}


def _races(looks: Sequence[Look]) -> dict[str, Callable[[Look], bool]]:
    races = sorted({look.labels["race"] for look in looks})
    return {f"race {race}": _labelled("race", race) for race in races}


def _age_range(look: Look) -> tuple[int, int]:
    age = look.labels["age"]
    return FAIRFACE_BINS[age] if age in FAIRFACE_BINS else (int(age), int(age))


def _error(look: Look) -> float:
    assert look.years is not None
    return look.years - float(look.labels["age"])


def _outside(look: Look) -> float:
    """Years by which an estimate lies outside its bin; ages are whole years, so 29.9 is still in 20 to 29."""
    assert look.years is not None
    low, high = _age_range(look)
    return max(0.0, low - look.years, look.years - (high + 1))
