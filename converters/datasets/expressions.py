"""Words for expressions: the one spelling used here, and what ten people's votes come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER-2013's labels in the order of its numbers."""
VOTES = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)
"""FER+'s columns in their order."""
NO_EXPRESSION = ("unknown", "not a face")
"""What a majority of the votes can come to beside an expression."""
SPELLINGS = {
    "angry": "angry",
    "anger": "angry",
    "disgust": "disgust",
    "disgusted": "disgust",
    "fear": "fear",
    "fearful": "fear",
    "happy": "happy",
    "happiness": "happy",
    "sad": "sad",
    "sadness": "sad",
    "surprise": "surprise",
    "surprised": "surprise",
    "neutral": "neutral",
    "contempt": "contempt",
}


def spelling(label: str) -> str:
    """Return the one spelling of an expression; a word that is not known stays as it is."""
    return SPELLINGS.get(label.lower(), label.lower())


def majority(votes: Sequence[int]) -> str:
    """What most of FER+'s taggers saw, by the rule of its makers (Barsoum et al. 2016, "majority").

    Single votes are taken for slips and dropped; an expression must then have more than half of what is left, else the
    picture is ``unknown``. ``not a face`` where NF wins.
    """
    kept = [count if count > 1 else 0 for count in votes]
    best = max(range(len(kept)), key=lambda i: kept[i])
    if 2 * kept[best] <= sum(kept):
        return "unknown"
    return {"unknown": "unknown", "NF": "not a face"}.get(VOTES[best], spelling(VOTES[best]))


def voted(labels: Mapping[str, str]) -> str | None:
    """Return the majority of a row's ten votes; None for a row without votes."""
    cells = [labels.get(name, "") for name in VOTES]
    return majority([int(cell) for cell in cells]) if all(cell.isdigit() for cell in cells) else None
