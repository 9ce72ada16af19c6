"""The measurement: files tried in children, ways of each network raced, then whole chains of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import count
from pathlib import Path

import msgspec
import numpy as np

from edgeface import board
from edgeface.bundle import Bundle, Network, NetworkFile, choose_file, choose_runtime
from edgeface.config import Config
from edgeface.engine.networks import Networks
from edgeface.engine.turn import Worker
from edgeface.errors import EdgefaceError, named_line
from edgeface.machine import cores, give_back_memory
from edgeface.proof import Step, prove
from edgeface.proof.steps import seconds_for
from edgeface.runtime import load_network, run_faces
from edgeface.runtime.threads import opencv_threads
from edgeface.selftest import check, stored
from edgeface.tuning.candidates import BETTER, Way, chains, ways
from edgeface.tuning.choice import Choice, Picked, Row, fingerprint, merged, networks_of
from edgeface.tuning.race import Place, Time, race, winner
from edgeface.tuning.scene import crowd, moving, single
from edgeface.types import F32, Image

SECONDS = 240.0
"""Until the last run begins, unless told otherwise; under five minutes in all, whatever the board."""
FILES_SHARE, NETWORKS_SHARE = 0.25, 0.55
"""Share of it until the last file is tried, and until networks alone have run; the rest is for whole chains."""
TRY_S = 30.0
CALL_S, CALLS = 0.1, 3
"""A network is called so long in a round, and at least so often."""
ROUNDS = 4
CHAINS, CHAIN_ROUNDS = 5, 6
"""Chains that are not halved any more, and how often they are timed."""
FACES, FRAMES, SCENE_WH = 4, 25, (1280, 720)
"""The pipeline is timed over the first second of so many people."""
ALONE_SHARE = 0.6
"""Share of a network's time for single faces; the rest is for batches."""
NO_TIME = "not tried: there was no time left"
LIKE = 1.05
BUSY_SHARE = 0.5
SLOWER = 1.25

Say = Callable[[str], object]


class Conditions:
    """What may disturb a measurement: other programs, heat, want of power.

    Parameters
    ----------
    root : where files of the kernel begin, for tests
    """

    def __init__(self, root: Path = board.ROOT, *, load: Callable[[], float | None] = board.load) -> None:
        self._root = root
        self._load = load()
        self._hottest: float | None = None
        self._troubles: dict[str, None] = {}
        self.look()

    def look(self) -> None:
        """See how the board fares now."""
        degrees = max(board.temperatures(self._root).values(), default=None)
        if degrees is not None:
            self._hottest = max(degrees, self._hottest or degrees)
        now = board.throttled(self._root)
        self._troubles |= dict.fromkeys(now[0] if now else ())

    def notes(self, *, slower: float | None) -> list[str]:
        """What disturbed it, in sentences; ``slower``: how many times as long the same work took at the end."""
        found = []
        if self._load is not None and self._load > BUSY_SHARE * cores():
            found.append(
                f"other programs were busy before it began (load {self._load:.1f} on {cores()} cores): the figures are "
                "upper bounds"
            )
        hot = "" if self._hottest is None else f" ({self._hottest:.0f} degrees Celsius)"
        if self._troubles:
            found.append(
                f"the board was slowed down meanwhile: {', '.join(self._troubles)}{hot}; cool it or give it its "
                "maker's power supply, and measure again"
            )
        elif slower is not None and slower > SLOWER:
            found.append(
                f"the same work took {slower:.1f} times as long at the end as at the beginning{hot}: a board that is "
                "throttled by heat, or other programs; measure again when it is cool and idle"
            )
        return found


def tune(
    bundle: Bundle,
    config: Config,
    *,
    seconds: float = SECONDS,
    say: Say = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    root: Path = board.ROOT,
) -> Choice:
    """Find what runs best here.

    Parameters
    ----------
    config : its keys hold: what they say is not tried otherwise
    seconds : until the last run begins
    say : gets a line for what goes on
    root : where files of the kernel begin, for tests

    Raises
    ------
    EdgefaceError : the chain does not even run in the bundle's order
    """
    begun_s = clock()
    conditions = Conditions(root)
    usual, threads = _usual(bundle, config)
    networks = networks_of(bundle, config)
    say(f"trying {sum(len(files) for n in networks for files in n.files.values())} files of {len(networks)} networks")
    good, rows = _files(bundle, networks, usual, clock=clock, until_s=begun_s + FILES_SHARE * seconds)
    ranked: dict[str, list[tuple[Way, int]]] = {}
    until_s = begun_s + NETWORKS_SHARE * seconds
    for number, network in enumerate(networks):
        if network.name not in usual:
            continue
        file = choose_file(network, usual[network.name].runtime, usual[network.name].precision)
        found = ways(network, good, config, usual=file, threads=threads, cores=cores())
        say(f"{network.name}: {len(found)} ways")
        conditions.look()
        share_s = (until_s - clock()) / (len(networks) - number)
        ranked[network.name], timed = _race_network(bundle, network, found, clock=clock, until_s=clock() + share_s)
        rows += timed
    final = list(chains(ranked, usual))
    say(f"whole pipeline: {len(final)} chains")
    pipelines = _Pipelines(bundle, config, conditions)
    places = race(
        final,
        pipelines.run,
        clock=clock,
        until_s=begun_s + seconds,
        keep=CHAINS,
        rounds=CHAIN_ROUNDS,
        hopeless=float("inf"),
    )
    first = next(place for place in places if place.runner is final[0])
    if first.best is None:
        raise EdgefaceError(f"the bundle's order does not run here: {first.out}", fix="see `edgeface models verify`")
    best = winner(places, usual=first)
    assert best.best is not None
    rows += [_chain_row(place, chosen=place is best) for place in places]
    return Choice(
        made=datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round(clock() - begun_s, 1),
        fingerprint=fingerprint(bundle, config),
        networks=best.runner[1],
        usual_ms=round(first.best.ms, 3),
        chosen_ms=round(best.best.ms, 3),
        notes=tuple(conditions.notes(slower=pipelines.slower)),
        rows=tuple(rows),
    )


def _usual(bundle: Bundle, config: Config) -> tuple[dict[str, Picked], int]:
    """What is loaded without a choice, by network, and with how many threads."""
    plain = msgspec.structs.replace(config.runtime, provider="cpu")
    networks = Networks(bundle, msgspec.structs.replace(config, runtime=plain))
    found = {}
    for name, runner in networks.runners.items():
        own, runtime = config.networks.get(name), choose_runtime(bundle.manifest, config.runtime.name)
        if runner.file.runtime == "opencv":
            continue
        found[name] = Picked(
            runtime=own.runtime if own and own.runtime else runtime,
            precision=runner.file.precision,
            optimization=own.optimization if own and own.optimization else "all",
            threads=own.threads if own and own.threads else networks.threads,
            batch=max(runner.batches),
        )
    return found, networks.threads


def _files(
    bundle: Bundle,
    networks: Sequence[Network],
    usual: Mapping[str, Picked],
    *,
    clock: Callable[[], float],
    until_s: float,
) -> tuple[set[str], list[Row]]:
    """Paths of the files that compute here what they should, each tried in a child; and rows for the others.

    The usual ones go first, and are tried whatever the clock says: a board that has no time measures them alone.
    """

    def is_usual(network: Network, file: NetworkFile) -> bool:
        own = usual.get(network.name)
        return own is not None and (file.runtime, file.precision) == (own.runtime, own.precision)

    found = [(network, file) for network in networks for files in network.files.values() for file in files]
    found.sort(key=lambda pair: not is_usual(*pair))
    first = sum(is_usual(*pair) for pair in found)
    steps = [
        Step(network=network.name, runtime=file.runtime, path=file.path, seconds=min(TRY_S, seconds_for(network, file)))
        for network, file in found
    ]
    good: set[str] = set()
    rows = []
    tried = 0
    for outcome in prove(bundle, steps):
        tried += 1
        step = outcome.step
        if outcome.result == "ok":
            good.add(step.path)
        else:
            rows.append(Row(network=step.network, what=step.path, runtime=step.runtime, note=outcome.detail))
        if tried >= first and clock() >= until_s:
            break
    rows += [Row(network=step.network, what=step.path, runtime=step.runtime, note=NO_TIME) for step in steps[tried:]]
    return good, rows


def _race_network(
    bundle: Bundle, network: Network, found: Sequence[Way], *, clock: Callable[[], float], until_s: float
) -> tuple[list[tuple[Way, int]], list[Row]]:
    """Ways of a network, the fastest first, each with its best batch; and all that was timed."""
    arrays = stored(bundle, network)
    pixels: Image = arrays["input"]
    given = {s.input: arrays.get(s.input, np.zeros((1, *s.shape), np.float32)) for s in network.states}
    states = {name: np.asarray(array, dtype=np.float32) for name, array in given.items()}
    sizes: dict[Way, tuple[int, ...]] = {}

    def run(entry: tuple[Way, int]) -> Time | str:
        way, faces = entry
        try:
            runner = load_network(
                bundle,
                network,
                way.runtime,
                precision=way.precision,
                threads=way.threads,
                optimization=way.optimization,
            )
            check(bundle, network, runner)
            sizes[way] = runner.batches
            rows = np.repeat(pixels, faces, axis=0)
            remembered = {name: np.repeat(array, faces, axis=0) for name, array in states.items()}
            return _timed(lambda: run_faces(runner, network, rows, remembered), faces)
        except EdgefaceError as error:
            return error.what
        except Exception as error:  # a runtime may refuse a level in a word of its own
            return named_line(error, otherwise="it does not run")

    alone = [(way, 1) for way in found]
    middle_s = clock() + ALONE_SHARE * (until_s - clock())
    places = race(alone, run, clock=clock, until_s=middle_s, keep=BETTER, rounds=ROUNDS)
    good = [place.runner[0] for place in places if place.best and not place.out]
    batches = {way: [size for size in sizes[way] if size > 1] if network.answers else [] for way in good}
    several = [(way, size) for way in good[:BETTER] for size in (1, *batches[way]) if batches[way]]
    crowded = race(
        several, run, clock=clock, until_s=until_s, keep=len(several), rounds=ROUNDS, first=0, hopeless=float("inf")
    )
    give_back_memory()
    rows = [_way_row(place) for place in (*places, *(place for place in crowded if place.runner[1] > 1))]
    return [(way, _best_batch(way, crowded, most=max(sizes[way]))) for way in good], rows


def _best_batch(way: Way, timed: Sequence[Place[tuple[Way, int]]], *, most: int) -> int:
    """The largest batch in which a face takes about as long as in the best; ``most`` where nothing was timed."""
    found = {place.runner[1]: place.best.ms for place in timed if place.runner[0] == way and place.best}
    least = min(found.values(), default=0.0)
    return max((size for size, ms in found.items() if ms <= LIKE * least), default=most)


def _timed(work: Callable[[], object], units: int) -> Time:
    """The best of some calls, by unit of work."""
    walls: list[float] = []
    processors: list[float] = []
    end_s = time.perf_counter() + CALL_S
    while len(walls) < CALLS or time.perf_counter() < end_s:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall_s)
        processors.append(time.process_time() - cpu_s)
    return Time(ms=min(walls) * 1000 / units, cpu_ms=min(processors) * 1000 / units)


class _Pipelines:
    """Times whole chains over the same frames; of each frame the best round counts.

    Attributes
    ----------
    slower : how many times as long the first chain took in its last round as in its first; None before
    """

    def __init__(self, bundle: Bundle, config: Config, conditions: Conditions) -> None:
        self._bundle, self._config, self._conditions = bundle, config, conditions
        self._scene: Image | None = None
        self._walls: dict[str, F32] = {}
        self._cpus: dict[str, F32] = {}
        self._first: tuple[str, float, float] | None = None

    @property
    def slower(self) -> float | None:
        """See above."""
        return None if self._first is None else self._first[2] / self._first[1]

    def run(self, chain: tuple[str, dict[str, Picked]]) -> Time | str:
        """Load a chain, hold its answers against the stored ones, and run it over the scene."""
        name, picked = chain
        try:
            networks = Networks(self._bundle, merged(self._config, picked))
            networks.verify(self._bundle)
        except EdgefaceError as error:
            return error.what
        if self._scene is None:
            self._scene = _scene(self._bundle, self._config, networks)
        with opencv_threads(networks.threads):
            walls, cpus = _frames(networks, self._config, self._scene)
        self._conditions.look()
        total = float(walls.sum())
        first = self._first or (name, total, total)
        self._first = (first[0], first[1], total) if first[0] == name else first
        best = self._walls[name] = np.minimum(walls, self._walls.get(name, walls))
        least = self._cpus[name] = np.minimum(cpus, self._cpus.get(name, cpus))
        return Time(ms=float(best.mean()), cpu_ms=float(least.mean()))


def _frames(networks: Networks, config: Config, scene: Image) -> tuple[F32, F32]:
    """Milliseconds of each frame, on the wall and of the processor."""
    numbers = count()
    worker = Worker(networks, config, ["main"], new_id=lambda: str(next(numbers)), clock=time.perf_counter)
    walls: list[float] = []
    cpus: list[float] = []
    for frame in moving(scene, FRAMES):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        worker.process([frame])
        walls.append((time.perf_counter() - wall_s) * 1000)
        cpus.append((time.process_time() - cpu_s) * 1000)
    return np.array(walls, np.float32), np.array(cpus, np.float32)


def _scene(bundle: Bundle, config: Config, networks: Networks) -> Image:
    """People made of the bundle's stored picture; the picture itself where nobody is found in it."""
    picture = single(bundle, config)
    found = networks.detect(picture, min_score=config.detector.score)
    return crowd(picture, found.boxes[0], FACES, size_wh=SCENE_WH) if len(found) else picture


def _way_row(place: Place[tuple[Way, int]]) -> Row:
    way, batch = place.runner
    return Row(
        network=way.network,
        what=way.words,
        runtime=way.runtime,
        precision=way.precision,
        optimization=way.optimization if way.runtime == "onnx" else "",
        threads=way.threads,
        batch=batch,
        ms=None if place.best is None else round(place.best.ms, 3),
        cpu_ms=None if place.best is None else round(place.best.cpu_ms, 3),
        rounds=place.rounds,
        note=place.out or ("" if place.best else "not timed"),
    )


def _chain_row(place: Place[tuple[str, dict[str, Picked]]], *, chosen: bool) -> Row:
    return Row(
        network="",
        what=place.runner[0],
        ms=None if place.best is None else round(place.best.ms, 3),
        cpu_ms=None if place.best is None else round(place.best.cpu_ms, 3),
        rounds=place.rounds,
        note="chosen" if chosen else place.out or ("" if place.best else "not timed"),
    )
