"""What a visit's age is worth: films of known people through the device's own turn, held against their labels.

Still faces of a validation part walk through made films (`benchmarks.films`): detected, followed, sampled and fused as
by the daemon. Of each visit: years off (to the nearer end of a bin), whether the published interval holds the age, how
wide it is; beside it the same of the visit's first sample alone.

    python -m benchmarks.visit_ages [--data DIR] [--set utkface|fairface] [--half first|second] [--films N] [--seed N]
    python -m benchmarks.visit_ages --clips [--films N] [--maker FILE]

With ``--clips`` the films are those in which following is measured (`benchmarks.made_clips`), where people cover each
other, leave and come back. Adults are filmed, of whom cameras see most. How wide the interval is was fitted on FairFace
(`benchmarks.visit_intervals`); films only tell.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import cv2
import msgspec
import numpy as np
from tqdm import tqdm

from benchmarks.films import Shown, make_film
from benchmarks.made_clips import MAKER, make_clip
from converters.datasets.labelled import data_folder
from converters.datasets.labels import age_range
from converters.datasets.layouts import find_faces
from converters.evaluation.confidence import covered_share
from converters.evaluation.groups import first_half
from converters.evaluation.statistics import mean_figure
from converters.evaluation.sureness import wanted_coverage
from converters.paths import BUNDLE, open_any
from converters.train.people import person_of
from edgeface.config import Config, Runtime
from edgeface.engine.networks import Networks
from edgeface.engine.steps import Inferred, Told
from edgeface.engine.turn import Worker
from edgeface.errors import EdgefaceError
from edgeface.offline.analyze import EPOCH
from edgeface.questions import VisitAge
from edgeface.types import AgeEstimate, Answer, Frame, Image

Labelled = tuple[Image, dict[str, str]]
ADULTS = 16, 65
"""Ages in years that are filmed: those of whom cameras see most. Bins count whose middle lies there."""


class Heard(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One visit: label of the person, what the device said at its end, and what its first sample alone says."""

    label: str
    said: VisitAge
    first: AgeEstimate


class Listening(Networks):
    """Networks whose answers about ages are kept, by track."""

    heard: defaultdict[int, list[Answer]]

    def read(self, inferred: Sequence[Inferred]) -> dict[int, list[Answer]]:
        """As the device reads; what is said of an age is kept."""
        answers = super().read(inferred)
        for request in (request for one in inferred for request in one.requests):
            self.heard[request.track] += [answer for answer in answers[id(request)] if answer.task == "age"]
        return answers


def watch(film: Shown, networks: Listening, config: Config, fps: float) -> Iterator[Heard]:
    """What the device makes of one film: its visits, each of the person whom it showed most."""
    numbers = count(1)
    networks.heard = defaultdict(list)
    worker = Worker(networks, config, ["film"], new_id=lambda: f"{next(numbers)}", clock=lambda: 0.0)
    seen: dict[int, Counter[int]] = defaultdict(Counter)
    ended: dict[int, VisitAge] = {}

    def keep(told: Told) -> None:
        for change in told.changes:
            if change.event == "end" and change.visit.known.age is not None:
                ended[change.visit.track] = change.visit.known.age

    for index, (time_s, image, squares) in enumerate(film.frames(fps)):
        frame = Frame(image=image, camera="film", index=index, captured_at=EPOCH, time_s=time_s)
        ((_, told),) = worker.process([frame])
        keep(told)
        for visit in told.visits:
            x, y = (visit.box[:2] + visit.box[2:]) / 2
            seen[visit.track].update(n for n, (x1, y1, x2, y2) in squares if x1 <= x <= x2 and y1 <= y <= y2)
    keep(worker.close("film", "source_ended"))
    (head,) = (head for _, head in networks.heads if head.task == "age")
    for track, said in ended.items():
        if seen[track]:
            ((person, _),) = seen[track].most_common(1)
            first = next(one for one in networks.heard[track] if one.quality >= config.visits.min_quality)
            alone = head.estimate(first.probabilities)
            assert isinstance(alone, AgeEstimate)
            yield Heard(label=film.people[person].labels["age"], said=said, first=alone)


def known_people(data: Path, name: str, half: str | None) -> list[Labelled]:
    """One face of each adult of a validation part, or of half of them."""
    found: dict[str, Labelled] = {}
    (faces,) = find_faces(data, [name], part="val")
    for number, chip in enumerate(faces.read(None)):
        person = f"{name} {person_of(chip.labels) or f'val face {number}'}"
        if half in (None, "first" if first_half(person) else "second") and _is_adult(chip.labels.get("age", "")):
            found.setdefault(person, (chip.image, chip.labels))
    return list(found.values())


def _is_adult(label: str) -> bool:
    return bool(label) and ADULTS[0] <= sum(age_range(label)) / 2 <= ADULTS[1]


def years_off(years: float, label: str) -> float:
    """Years to a label, or to the nearer end of a bin."""
    low, high = age_range(label)
    return max(0.0, low - years, years - high)


def row(title: str, ages: Sequence[tuple[VisitAge | AgeEstimate, str]]) -> str:
    """One row of the table."""
    off = mean_figure([years_off(age.years, label) for age, label in ages])
    held = mean_figure([covered_share(round(age.low, 1), round(age.high, 1), label) for age, label in ages])
    wide = np.mean([age.high - age.low for age, _ in ages])
    cells = (
        f"{off.value:.2f} ({off.low:.2f} to {off.high:.2f})",
        f"{100 * held.value:.1f} % ({100 * held.low:.1f} to {100 * held.high:.1f})",  # type: ignore[operator]
        f"{wide:.1f}",
    )
    return f"| {title} | {' | '.join(cells)} |"


def made_films(args: argparse.Namespace, data: Path) -> Iterator[Shown]:
    """Films of one seed after the other, in which nobody comes twice."""
    people = known_people(data, args.set, args.half)
    order = np.random.default_rng(args.seed).permutation(len(people))
    for film in range(args.films):
        faces = [people[number] for number in order[film * args.people : (film + 1) * args.people]]
        yield make_film(faces, args.seed * 1000 + film)


def made_clips(args: argparse.Namespace, data: Path) -> Iterator[Shown]:
    """The clips of the seeds from ``--seed`` on."""
    for seed in range(args.seed, args.seed + args.films):
        yield make_clip(args.maker, data, seed=seed, fps=args.fps)


def main() -> None:
    """Watch films and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--clips", action="store_true", help="in place of films those in which following is measured")
    parser.add_argument("--maker", type=Path, default=MAKER, metavar="FILE", help="program that makes clips")
    parser.add_argument("--set", default="utkface", choices=("fairface", "utkface"), help="of films (%(default)s)")
    parser.add_argument("--half", choices=("first", "second"), help="of the people of films (all)")
    parser.add_argument("--films", type=int, default=24, metavar="N", help="or clips (%(default)s)")
    parser.add_argument("--people", type=int, default=6, metavar="N", help="in each film (%(default)s)")
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1, help="the first one, of clips (%(default)s)")
    parser.add_argument("--bundle", default=str(BUNDLE), help="name or folder")
    args = parser.parse_args()
    if args.clips and not args.maker.is_file():
        print(f"skipped: {args.maker}, which makes the clips, is not there (--maker FILE)")
        return
    cv2.setNumThreads(1)
    found: list[Heard] = []
    try:
        data = data_folder(args.data)
        networks = Listening(open_any(args.bundle), config := Config(runtime=Runtime(threads=1)))
        films = (made_clips if args.clips else made_films)(args, data)
        for film in tqdm(films, desc="films", total=args.films, disable=None, leave=False):
            found += watch(film, networks, config, args.fps)
    except EdgefaceError as error:
        parser.error(str(error))
    share = wanted_coverage(next(network.answers["age"] for network, head in networks.heads if head.task == "age"))
    samples = np.mean([one.said.samples for one in found])
    what = "clips" if args.clips else f"films of {args.set} val"
    print(f"{args.films} {what}, {args.fps:g} frames a second, {len(found)} visits of {samples:.1f} samples\n")
    print(f"| | years off | in the {100 * share:.0f} % interval | its width, years |\n|---|---|---|---|")
    print(row("visit", [(one.said, one.label) for one in found]))
    print(row("first sample alone", [(one.first, one.label) for one in found]))


if __name__ == "__main__":
    main()
