"""Every attribute network of a bundle from its shipped files, through the device's path: one table for a bundle.

The rows are those by which networks of one's own are held against each other. A row over several groups is its worst
one; what a whole bundle costs is that of the networks which a device runs on one face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec
import numpy as np
import numpy.typing as npt

from converters.datasets.labels import FAIRFACE_BINS
from converters.evaluation.attributes import expression_figures, expressions
from converters.evaluation.groups import paired_loss
from converters.evaluation.statistics import Figure, mean_figure, share_figure
from converters.evaluation.stills import F64, Stills, errors_of
from converters.evaluation.subject import Answers, Subject
from converters.evaluation.timing import Timed, fastest, ratio, together
from edgeface.bundle import Bundle, FileRuntime, Network, NetworkFile, Precision, attribute_networks
from edgeface.config import Config
from edgeface.types import Task

LEAST_FACES = 30
"""A group of fewer faces is not named as the worst: chance would choose it."""
DECADES = tuple(range(0, 90, 10))
"""First years of the decades among which the worst is looked for; above 89 there are too few faces."""
SMALLEST: tuple[Precision, ...] = ("int8", "int8w", "fp16w", "fp32")
"""Which file of a network counts for the bytes of a quantized bundle."""
Bools = npt.NDArray[np.bool_]
Labels = Sequence[Mapping[str, str]]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    ``unit`` is ``years``, ``share`` (0 to 1), ``macs``, ``bytes``, ``ms`` or ``ratio``; ``group`` is the worst one
    where the row is over several, of bytes and time the kinds of files. ``low`` and ``high`` bound the value with 95 %
    confidence. ``change`` is what it is more than the bundle that it is held against: of means on the faces that both
    found, with a paired interval.
    """

    row: str
    network: str
    value: float
    unit: str
    count: int = 0
    group: str | None = None
    low: float | None = None
    high: float | None = None
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measure:
    """A row, and the errors that it is the mean of: of every face of the set, of which ``rows`` count.

    A face that was not found has no number; a row that is no mean has no errors.
    """

    row: Row
    errors: F64 | None = None
    rows: Bools | None = None


def person_measures(
    title: str, exact: bool, answers: Answers, subject: Subject, tasks: Sequence[Task]
) -> Iterator[Measure]:
    """Age and gender on one set; ``exact`` where ages are labelled in years."""
    labels, network = answers.labels, subject.network.name
    if "age" in tasks:
        errors = errors_of(answers, subject.network, "age")
        if exact:
            yield _years(f"age MAE, {title}", network, errors)
            decades = {f"{low}-{low + 9}": _aged(labels, low, low + 9) for low in DECADES}
            yield from _worst(f"age MAE, {title}, worst decade", network, errors, decades, _years, max)
        else:
            yield _right(f"right age bin of {len(FAIRFACE_BINS)}, {title}", network, errors)
    if "gender" in tasks:
        errors = errors_of(answers, subject.network, "gender")
        yield _right(f"gender, {title}", network, errors)
        if exact:
            yield _right(f"gender, {title}, below 10 years", network, errors, _aged(labels, 0, 9))
        else:
            races = sorted({row.get("race", "") for row in labels} - {""})
            groups = {race: np.array([row.get("race") == race for row in labels], bool) for race in races}
            yield from _worst(f"gender, {title}, worst race", network, errors, groups, _right, min)


def expression_measures(title: str, answers: Answers, subject: Subject) -> Iterator[Measure]:
    """Accuracy and macro-F1 on one set."""
    network = subject.network.name
    yield _right(f"expression accuracy, {title}", network, errors_of(answers, subject.network, "expression"))
    figures = expression_figures(*expressions(answers, subject))
    figure = next(figure for metric, _, figure in figures if metric == "macro-F1")
    yield Measure(row=_row(f"expression macro-F1, {title}", network, figure, "share"))


def found_measure(title: str, stills: Stills) -> Measure:
    """The share of faces that were found; the others are left out of all that is said of the set."""
    figure = share_figure(stills.found.tolist())
    return Measure(
        row=_row(f"found, {title}", stills.finder.network.name, figure, "share"),
        errors=(~stills.found).astype(np.float64),
    )


def cost_rows(networks: Sequence[Network], runtime: FileRuntime) -> Iterator[Row]:
    """What all networks that a device runs on one face cost together."""
    names = " + ".join(network.name for network in networks)
    if all(network.macs is not None for network in networks):
        macs = sum(network.macs or 0 for network in networks)
        yield Row(row="multiply-accumulates of all, a face", network=names, value=macs, unit="macs")
    files = [smallest(network.files.get(runtime, ())) for network in networks]
    kinds = " + ".join(dict.fromkeys(file.precision for file in files if file))
    size = sum(file.bytes for file in files if file)
    yield Row(row="int8 bytes of all attribute networks", network=names, value=size, unit="bytes", group=kinds)


def time_rows(timed: Sequence[Timed], beside: Sequence[Timed] = (), against: str | None = None) -> Iterator[Row]:
    """CPU time of all networks of a face, of each its quickest file of any runtime; that of another bundle beside it.

    Parameters
    ----------
    timed, beside : every file of this bundle's networks, and of the other's, timed in the same rounds
    against : what to call the other
    """
    own = _time_row("CPU time of all, a face, one thread, quickest files, ms", timed)
    if not beside:
        yield own
        return
    other = _time_row(f"the same of {against}, ms", beside)
    yield msgspec.structs.replace(own, change=own.value - other.value)
    yield other
    share = ratio(fastest(timed), fastest(beside))
    yield Row(row=f"CPU time of all, of that of {against}", network=own.network, value=share, unit="ratio")


def _time_row(name: str, timed: Sequence[Timed]) -> Row:
    files = fastest(timed)
    networks = " + ".join(one.network.name for one in files)
    kinds = " + ".join(dict.fromkeys(f"{one.file.runtime} {one.file.precision}" for one in files))
    return Row(row=name, network=networks, value=median(together(files)), unit="ms", group=kinds)


def smallest(files: Sequence[NetworkFile]) -> NetworkFile | None:
    """The file of the smallest kind of numbers."""
    return min(files, key=lambda file: SMALLEST.index(file.precision), default=None)


def used(bundle: Bundle) -> dict[str, list[Task]]:
    """Networks that a device runs on a face unless told otherwise, and which questions each of them answers there.

    Of a network that was built alone, which names no defaults, all that it answers.
    """
    defaults = bundle.manifest.defaults
    if not defaults:
        return {network.name: list(network.answers) for network in bundle.manifest.networks if network.answers}
    return {
        network.name: [task for task in network.answers if defaults.get(task) == network.name]
        for network in attribute_networks(bundle, Config())
    }


def against(measure: Measure, other: Measure | None) -> Row:
    """A row with what it is more than the same row of another bundle; paired face by face (`paired_loss`).

    A worst group is this bundle's own, on both.
    """
    row = measure.row
    if other is None or measure.errors is None or other.errors is None:
        return row
    both = np.isfinite(measure.errors) & np.isfinite(other.errors)
    both = both if measure.rows is None else both & measure.rows
    loss = paired_loss(other.errors[both], measure.errors[both], {})[0]
    if row.unit == "share":  # of right answers: what is lost in errors is gained there
        low, high = (None if end is None else -end for end in (loss.high, loss.low))
        return msgspec.structs.replace(row, change=-loss.value, change_low=low, change_high=high)
    return msgspec.structs.replace(row, change=loss.value, change_low=loss.low, change_high=loss.high)


def _row(name: str, network: str, figure: Figure, unit: str, group: str | None = None) -> Row:
    return Row(
        row=name,
        network=network,
        value=figure.value,
        unit=unit,
        count=figure.count,
        group=group,
        low=figure.low,
        high=figure.high,
    )


def _years(name: str, network: str, errors: F64, rows: Bools | None = None, group: str | None = None) -> Measure:
    figure = mean_figure(_seen(errors, rows).tolist())
    return Measure(row=_row(name, network, figure, "years", group), errors=errors, rows=rows)


def _right(name: str, network: str, errors: F64, rows: Bools | None = None, group: str | None = None) -> Measure:
    figure = share_figure((_seen(errors, rows) == 0).tolist())
    return Measure(row=_row(name, network, figure, "share", group), errors=errors, rows=rows)


def _worst(
    name: str,
    network: str,
    errors: F64,
    groups: Mapping[str, Bools],
    measure: Callable[[str, str, F64, Bools, str], Measure],
    worst_of: Callable[..., Measure],
) -> Iterator[Measure]:
    """The row of the worst group of `LEAST_FACES` or more; none where there is no such group."""
    large = {group: rows for group, rows in groups.items() if len(_seen(errors, rows)) >= LEAST_FACES}
    if large:
        made = [measure(name, network, errors, rows, group) for group, rows in large.items()]
        yield worst_of(made, key=lambda one: one.row.value)


def _seen(errors: F64, rows: Bools | None) -> F64:
    found = np.isfinite(errors)
    return errors[found if rows is None else found & rows]


def _aged(labels: Labels, low: int, high: int) -> Bools:
    return np.array([row.get("age", "").isdigit() and low <= int(row["age"]) <= high for row in labels], bool)
