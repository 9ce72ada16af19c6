"""What the labels of the data sets say: age ranges, letters for gender, levels of difficulty."""

from __future__ import annotations

LEVELS = ("easy", "medium", "hard")

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
GENDERS = {"M": "male", "F": "female"}


def age_range(age: str) -> tuple[int, int]:
    """First and last year that a label stands for: a FairFace bin, or an age in years."""
    return FAIRFACE_BINS[age] if age in FAIRFACE_BINS else (int(age), int(age))


def in_range(years: float, age: str) -> bool:
    """Whether an estimate lies in a bin: 29.9 is still in 20-29, 30 is not; nor is anything in two bins."""
    low, high = age_range(age)
    return low <= years < high + 1


def years_off(years: float, age: str) -> float:
    """Years between an estimate and an age, or by which it lies outside a bin; 29.9 is still in 20-29."""
    low, high = age_range(age)
    return abs(years - low) if low == high else max(0.0, low - years, years - (high + 1))
