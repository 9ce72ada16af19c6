"""All detectors of the field side by side: what each finds, and what one picture costs it.

Every detector runs in fp32 (ONNX Runtime; a cascade in OpenCV itself) with one thread, through the device's own path.
Multiply-accumulates are counted from the calls that a detector really makes: a cascade of networks makes more of them
where there are more faces.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import mean

import msgspec
from tqdm import tqdm

from converters.building.entry import count_macs, describe_network, write_manifest
from converters.building.maker import Maker
from converters.datasets.labelled import Photograph, read
from converters.evaluation.runners import Count, CountingRunner
from converters.evaluation.widerface import MIN_SCORE, average_precisions
from converters.measurements.detectors import DetectorTable, Row
from converters.measurements.speeds import describe_machine
from converters.recipes.reading import read_network, read_workshop
from converters.recipes.schema import BundleRecipe, Recipe
from converters.references.torch_module import TorchReference
from edgeface.bundle import Bundle, MtcnnHead, Network, open_bundle
from edgeface.config import Detector as DetectorSettings
from edgeface.detect import Detector, make_detector
from edgeface.runtime import load_network
from edgeface.runtime.threads import opencv_threads
from edgeface.types import Detections, Image

SIZES = ("320x320", "640x640")
"""Of detectors of free size: long sides 320 and 640."""
TIMED = 40
"""Photographs that are timed, spread over the set."""
UNTRAINED_TIMED = 4
"""Of those, how many a network that was never trained is timed on."""
RUNS = 3
SCORE = DetectorSettings().score


def make_detectors(names: Sequence[str], folder: Path) -> tuple[Bundle, Mapping[str, Count]]:
    """Make each detector's fp32 file and put them into a bundle here; with it the counters of those that multiply."""
    recipes = {}
    for name in names:
        built, network = read_network(name)
        stages = (network.head.refine, network.head.output) if isinstance(network.head, MtcnnHead) else ()
        for one, recipe in ((built, network), *(read_network(stage) for stage in stages)):
            runtime = "opencv" if "opencv" in recipe.files else "onnx"
            recipes[one] = msgspec.structs.replace(recipe, files={runtime: ("fp32",)})
    whole = Recipe(bundle=BundleRecipe(name="field", version="0"), workshop=read_workshop(), networks=recipes)
    entries: list[Network] = []
    counts: dict[str, Count] = {}
    for name in tqdm(recipes, desc="files", unit="network", disable=None):
        maker = Maker(name, whole)
        paths = [maker.file(runtime, precision) for runtime, precision in maker.files()]
        paths.append(maker.selftest())
        for path in paths:
            place = folder / path.relative_to(maker.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        entries.append(describe_network(maker, whole, folder))
        if isinstance(maker.reference, TorchReference):
            counts[name] = cache(partial(count_macs, maker.reference))
    write_manifest(whole, entries, folder)
    return open_bundle(folder, allow_random=True), counts


def measure(
    bundle: Bundle,
    counts: Mapping[str, Count],
    names: Sequence[str],
    pictures: Sequence[Photograph],
    known: DetectorTable | None = None,
) -> DetectorTable:
    """Measure detectors of a bundle on photographs; they take turns, so that a busy spell hits all.

    With ``known`` precision is taken from there, and only costs are measured anew.
    """
    precise = {(row.detector, row.size): row.ap for row in known.rows} if known else {}
    with opencv_threads(1):
        detectors = [
            timed_detector for name in names for timed_detector in _timed(bundle, bundle.network(name), counts)
        ]
        timed = set(map(id, spread(pictures, TIMED)))
        looked = [picture for picture in pictures if known is None or id(picture) in timed]
        for number, picture in enumerate(tqdm(looked, unit="picture", disable=None)):
            image = read(picture.path)
            for one in detectors:
                one.detect(image, timed=id(picture) in timed, first=number == 0, precisely=known is None)
    return DetectorTable(
        pictures=len(pictures),
        timed=len(timed),
        machine=describe_machine(),
        command="python -m converters evaluate all-detectors",
        rows=tuple(one.row(pictures, precise.get(one.name)) for one in detectors),
    )


class TimedDetector:
    """One detector at one size, and what it did so far."""

    def __init__(
        self, network: Network, size: str, parameters: int, detector: Detector, runners: Sequence[CountingRunner]
    ):
        self._network, self._size, self._parameters = network, size, parameters
        self._detector, self._runners = detector, runners
        self._found: list[Detections] = []
        self._ms: list[float] = []
        self._macs = 0

    @property
    def name(self) -> tuple[str, str]:
        """Detector and size."""
        return self._network.name, self._size

    def detect(self, image: Image, *, timed: bool, first: bool, precisely: bool) -> None:
        """Detect; a network that was never trained is timed on few pictures and on no other."""
        random = self._network.random_weights
        if first:
            self._detector.detect(image, min_score=SCORE)
        if precisely and not random:
            self._found.append(self._detector.detect(image, min_score=MIN_SCORE))
        if timed and not (random and len(self._ms) >= UNTRAINED_TIMED):
            before = sum(runner.macs for runner in self._runners)
            self._ms.append(cpu_ms(self._detector, image))
            self._macs += (sum(runner.macs for runner in self._runners) - before) // RUNS

    def row(self, pictures: Sequence[Photograph], known: dict[str, float] | None = None) -> Row:
        """The row of the table; ``known`` is its precision where that was not measured now."""
        ap = average_precisions(pictures, self._found) if self._found else known
        return Row(
            detector=self._network.name,
            title=self._network.title,
            size=self._size,
            parameters=self._parameters,
            macs=self._macs // len(self._ms) or None,
            ap=None if ap is None else {level: round(value, 4) for level, value in ap.items()},
            cpu_ms=round(mean(self._ms), 2),
            landmarks=self._detector.gives_landmarks,
        )


def _timed(bundle: Bundle, network: Network, counts: Mapping[str, Count]) -> Iterator[TimedDetector]:
    width, height = network.input.width, network.input.height
    fixed = f"{width}x{height}" if width and height else None
    stages = bundle.stages(network)
    parameters = sum(one.parameters for one in (network, *stages))
    for size in (fixed,) if fixed else SIZES:
        runners = {
            one.name: CountingRunner(load_network(bundle, one, next(iter(one.files)), threads=1), counts.get(one.name))
            for one in (network, *stages)
        }
        detector = make_detector(network, runners, stages=stages, size="auto" if fixed else size, still=True)
        yield TimedDetector(network, size, parameters, detector, list(runners.values()))


def cpu_ms(detector: Detector, image: Image) -> float:
    """CPU time of the cheapest of `RUNS` detections of a picture, at the score that devices use."""
    taken = []
    for _ in range(RUNS):
        start = time.process_time()
        detector.detect(image, min_score=SCORE)
        taken.append(time.process_time() - start)
    return 1000 * min(taken)


def spread(pictures: Sequence[Photograph], most: int) -> Sequence[Photograph]:
    """Up to ``most`` of the photographs, evenly spread."""
    step = max(1, len(pictures) // most)
    return pictures[::step][:most]
