"""The part of a model card on quantized variants: what each lost, over all and for the group that lost most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converters.formats.markdown import table
from converters.measurements.trials import Trial
from edgeface.bundle import Network

LEAST_JUDGED = 100
"""A smaller group's loss is listed nowhere: single faces would make it."""


def trials(network: Network, judged: Sequence[Trial]) -> Iterator[str]:
    """Variants that were made and measured, whether they ship or not, with the group that loses most."""
    rows = [trial for trial in judged if trial.network == network.name]
    if not rows:
        return
    yield "### Smaller forms that were tried"
    yield (
        "Against the fp32 form in the same runtime, by post-training quantization alone. Only what is within its limit "
        f"may ship. In brackets 95 % confidence, paired. Made by `python -m converters try {network.name}`."
    )
    yield table(
        ("form", "how", "bytes", "of fp32", "loss", "group that loses most", "same answer", "on", "within the limit"),
        [
            (
                f"{t.runtime} {t.precision}" + (f", {t.task}" if t.task else ""),
                _how(t),
                f"{t.bytes:,}",
                f"{t.bytes / t.bytes_fp32 * 100:.0f} %",
                _loss(t.years if t.years is not None else t.points, t, t.low, t.high),
                _worst_loss(t),
                "-" if t.agreement is None else f"{t.agreement * 100:.1f} %",
                _seen(t),
                "yes" if t.within else f"no{': ' if t.because else ''}{'; '.join(t.because)}",
            )
            for t in rows
        ],
    )


def _seen(trial: Trial) -> str:
    """On which pictures, and what the variant loses on those that had no part in choosing it."""
    words = [] if trial.note is None else [trial.note]
    if trial.decided is not None:
        words.append(f"{_loss(trial.decided, trial, None, None)} on the other half")
    return f"{trial.set}, {trial.count}" + (f" ({'; '.join(words)})" if words else "")


def _how(trial: Trial) -> str:
    words = [str(trial.calibration or "-")]
    words += [f"{len(trial.keep)} patterns of layers kept float"] if trial.keep else []
    words += ["equalised"] if trial.equalise else []
    return ", ".join(words)


def _loss(loss: float | None, trial: Trial, low: float | None, high: float | None) -> str:
    """Return a loss in the trial's unit, with its interval."""
    if loss is None:
        return "-"
    digits, unit = (3, "years") if trial.years is not None else (2, "points")
    interval = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{loss:.{digits}f} {unit}{interval}"


def _worst_loss(trial: Trial) -> str:
    """Return the group of a hundred faces or more that loses most, so that nobody is hurt unseen."""
    large = [group for group in trial.groups if group.count >= LEAST_JUDGED]
    if not large:
        return "-"
    worst = max(large, key=lambda group: group.value)
    return f"{worst.group}: {_loss(worst.value, trial, worst.low, worst.high)}, n {worst.count}"
