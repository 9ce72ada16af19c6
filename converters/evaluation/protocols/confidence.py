"""How sure the answers of a bundle's networks may be taken to be, and the temperatures that would make it so."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from converters.evaluation.confidence import temperature_of
from converters.evaluation.stills import answer_stills, unit_of
from converters.evaluation.sureness import Asked, choose_certainty, fit, mean_error, sureness
from converters.evaluation.whole_bundle import (
    ALL_SETS,
    BundleRun,
    add_bundle_arguments,
    command_of_run,
    found_sets,
    open_run,
    write_report,
)
from converters.formats.markdown import table
from converters.measurements.chosen import allowed
from converters.measurements.confidence import Confidence, coverage_rows, curve_rows, record, summary


class ConfidenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """Every question of every network on every set."""

    command: str
    bundle: str
    found: tuple[Confidence, ...]


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``confidence``."""
    parser = protocols.add_parser(
        "confidence",
        help="temperatures, calibration error, what age intervals cover, the trade of `unknown`",
        description="Fits a temperature for every answer of a bundle's networks on validation parts: of labels by"
        " likelihood, of an age so that the published interval covers what it claims. Tells, as shipped and so, the"
        " expected calibration error, the share of ages in the interval by age band, and for thresholds of *unknown*"
        " how many faces are answered and how many of those wrongly, over all and in the worst group, and chooses one."
        " `--record` keeps all of it; `manifest` then puts temperature and threshold into the heads.",
        epilog="Example: python -m converters evaluate confidence --bundle build/bundles/research --fit fairface",
    )
    add_bundle_arguments(parser)
    parser.add_argument(
        "--fit",
        action="append",
        choices=ALL_SETS,
        help="set on which temperatures are fitted (repeatable; those by which the network's recipe lets it be chosen)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write."""
    this = open_run(args.bundle, args, networks=args.network)
    asked: list[Asked] = []
    for found in found_sets(this, args):
        answers = answer_stills(found.stills, [subject for subject, _ in found.able])
        title, name = found.faces.title, found.faces.name
        asked += [
            Asked(network=s.network, task=task, title=title, set=name, answers=answers[s.network.name])
            for s, tasks in (found.able if answers else ())
            for task in tasks
        ]
    command = command_of_run("confidence", this.bundle, args) + "".join(f" --fit {name}" for name in args.fit or ())
    report = ConfidenceReport(
        command=command,
        bundle=f"{this.bundle.manifest.name} {this.bundle.manifest.version}",
        found=tuple(confidences(this, asked, args.fit)),
    )
    print("\n\n".join(text(report.found)))
    write_report("confidence", this.bundle, args, report, lambda: record(report.found))
    return 0


def confidences(run: BundleRun, asked: Sequence[Asked], fit_on: Sequence[str] | None = None) -> Iterator[Confidence]:
    """One for every question and set; a temperature is that of a question over all sets of the fit.

    ``fit_on`` : names of these; None: those that each network's recipe allows.
    """
    files = {subject.network.name: subject.runner.file for subject in run.subjects}
    for one in asked:
        fit_sets = fit_on or allowed(one.network.name)
        alike = [o for o in asked if (o.network.name, o.task) == (one.network.name, one.task) and o.set in fit_sets]
        temperature, shipped = fit(alike), temperature_of(one.network, one.task)
        certainty = None if temperature is None else choose_certainty(alike, temperature)
        file = files[one.network.name]
        yield Confidence(
            network=one.network.name,
            runtime=file.runtime,
            precision=file.precision,
            weights=one.network.source.sha256,
            task=one.task,
            set=one.title,
            count=len(one.read(one.network)[1]),
            unit=unit_of(one.answers, one.task),
            error=mean_error(one),
            shipped=sureness(one, 1.0 if shipped is None else shipped),
            fitted=None if temperature is None else sureness(one, temperature, certainty),
            fitted_on=tuple(o.title for o in alike) if temperature is not None else (),
        )


def text(found: Sequence[Confidence]) -> Iterator[str]:
    """A paragraph and a table for each."""
    for one in found:
        yield f"{one.network} {one.runtime} {one.precision}, {one.task}, {one.set}: {summary(one)}"
        yield table(*(coverage_rows(one) if one.task == "age" else curve_rows(one)))
