"""Gender as the training data labels it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from edgeface.questions.labelled import Labelled, VisitLabel
from edgeface.questions.parts import Samples, Share, percent, rounded_share
from edgeface.questions.question import Schedule

GENDER_WORDS: Mapping[str, str] = {"female": "woman", "male": "man"}


class Gender(Struct, frozen=True, kw_only=True):
    """Gender as the training data labels it, not what a person is."""

    label: Annotated[str, Meta(description="label name of the network's training data")]
    probability: Share
    samples: Samples


class GenderQuestion(Labelled[Gender]):
    """A label that does not change, so samples are rare."""

    task = "gender"
    notice = "gender as its training data labels it"
    schedule = Schedule(interval=4.0)
    certainty = 0.8
    usual = True

    def part(self, value: VisitLabel) -> Gender:
        """Four digits of a probability."""
        return Gender(label=value.label, probability=rounded_share(value.probability), samples=value.samples)

    def text(self, part: Gender) -> str:
        """``woman as the data labels it (97 %)``."""
        word = GENDER_WORDS.get(part.label, part.label)
        return f"{word} as the data labels it ({percent(part.probability)})"

    def brief(self, part: Gender) -> str:
        """The label."""
        return part.label
