"""``edgeface analyze``: pictures and videos in; JSON, text and drawn pictures out."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgeface.cli.common import (
    add_bundle_option,
    add_config_options,
    add_random_option,
    read_bundle,
    read_config,
    tuned_config,
)
from edgeface.config import hide_credentials
from edgeface.errors import SourceError, UsageError, complain
from edgeface.machine import cores

if TYPE_CHECKING:
    from edgeface.bundle import Bundle
    from edgeface.config import Camera, Config
    from edgeface.engine.networks import Networks
    from edgeface.offline.results import Analysis
    from edgeface.types import Image

T = TypeVar("T")
Job = tuple[Path, bool]
"""A file, and whether it is a still picture."""

OUT = "edgeface-out"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "analyze",
        help="analyse pictures, folders and videos",
        description="Analyses files. Beside a JSON and a text file for each, a picture (or video) with the faces drawn "
        f"goes to ./{OUT}; --json prints JSON Lines instead and writes nothing unless --out is given.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="picture, video, or a folder of them")
    parser.add_argument("--json", action="store_true", help="JSON Lines on standard output, one per picture or frame")
    parser.add_argument("--out", metavar="DIR", help=f"where results go (default ./{OUT}, with --json nowhere)")
    parser.add_argument("--score", type=_score, metavar="S", help="least detector score of a face, 0 to 1")
    parser.add_argument("--size", metavar="WxH", help="input of the detector: WxH, original or auto")
    parser.add_argument(
        "--camera",
        metavar="ID",
        help="as this camera of the configuration sees it: turned, mirrored, masked; its lines and zones are drawn, "
        "and counted in videos",
    )
    parser.add_argument("--crops", action="store_true", help="save what each network saw, as PNG (pictures only)")
    add_config_options(parser)
    add_bundle_option(parser)
    add_random_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Analyse every path; exit 1 when some files were bad, after the rest is done."""
    config = read_config(args, {"detector.size": args.size} if args.size else None)
    if args.camera is not None and args.camera not in config.cameras:
        raise UsageError(f"there is no camera {args.camera}", fix=f"choose one of: {', '.join(config.cameras)}")
    bundle = read_bundle(args, config)
    config = tuned_config(bundle, config)
    jobs = list(_jobs(args.paths))
    out = Path(args.out or OUT) if args.out or not args.json else None
    if args.crops and out is None:
        out = Path(OUT)
    job = _Job(args=args, config=config, bundle=bundle, out=out)
    bad = 0
    for path, look in _with_progress(job.looks(jobs), len(jobs), hidden=args.json):
        try:
            if look is not None:
                job.image(path, look.result())
            else:
                job.video(path)
        except SourceError as error:
            bad += 1
            complain(str(error))
    if len(jobs) > 1 or bad:
        print(f"edgeface: {len(jobs) - bad} of {len(jobs)} files analysed, {bad} bad", file=sys.stderr)
    if out is not None and bad < len(jobs):
        print(f"edgeface: results are in {out}", file=sys.stderr)
    return 1 if bad else 0


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """One analysed picture: as it was decoded, and what was found, in its own pixels and in the original's."""

    image: Image
    seen: Analysis
    analysis: Analysis


class _Job:
    """One run: its networks, and where its results go."""

    def __init__(self, *, args: argparse.Namespace, config: Config, bundle: Bundle, out: Path | None) -> None:
        self._json = args.json
        self._crops = args.crops
        self._score = args.score
        self._config = config
        self._bundle = bundle
        self._out = out
        self._camera = None if args.camera is None else config.cameras[args.camera]
        self._names: set[str] = set()
        self._networks: dict[bool, Networks] = {}

    def looks(self, jobs: Sequence[Job]) -> Iterator[tuple[Path, Future[_Look] | None]]:
        """Every job in order, pictures being analysed meanwhile: several at a time, each by one thread.

        So all cores are busy with decoding and inference alike; threads within a network would wait for each other.
        A single picture gets all threads.
        """
        threads = self._config.runtime.threads or min(2, cores())
        stills = sum(still for _, still in jobs)
        workers = min(threads, stills) or 1
        if stills:
            networks = self._load(still=True, threads=threads if stills == 1 else 1)
            for name in [name for name, (network, _, _) in networks.attributes.items() if network.states]:
                print(f"edgeface: {name} looks at people over time; of a picture it sees one step", file=sys.stderr)
        with ThreadPoolExecutor(workers, thread_name_prefix="picture") as pool:
            waiting: deque[tuple[Path, Future[_Look] | None]] = deque()
            try:
                for path, still in jobs:
                    waiting.append((path, pool.submit(self._look, path) if still else None))
                    if len(waiting) > workers:
                        yield waiting.popleft()
                yield from waiting
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _load(self, *, still: bool, threads: int) -> Networks:
        """Load once for pictures and once for videos; OpenCV gets as many threads as a network."""
        import cv2

        from edgeface.engine.networks import Networks as Loaded
        from edgeface.tuning import with_threads

        if still not in self._networks:
            # Pictures side by side have a thread each; a film's networks have as many as they run best with.
            config = with_threads(self._config, threads) if still else self._config
            self._networks[still] = Loaded(self._bundle, config, still=still)
            cv2.setNumThreads(self._networks[still].threads)
        return self._networks[still]

    def _look(self, path: Path) -> _Look:
        from edgeface.offline.analyze import analyze_image
        from edgeface.offline.results import enlarged
        from edgeface.sources import read_picture
        from edgeface.sources.transform import prepared

        picture = read_picture(path, self._config.limits)
        if self._camera is not None:
            picture = prepared(picture, self._camera)
        least = self._config.detector.score if self._score is None else self._score
        seen = analyze_image(
            picture.image, self._networks[True], self._config, path=str(path), min_score=least, crops=self._crops
        )
        return _Look(picture.image, seen, enlarged(seen, picture.scale, picture.original_wh))

    def image(self, path: Path, look: _Look) -> None:
        """Tell of one still picture; boxes and points are in the pixels of the original."""
        from edgeface.offline.results import as_json, as_text

        analysis, networks = look.analysis, self._networks[True]
        line = json.dumps(as_json(analysis))
        if self._json:
            print(line, flush=True)
        if self._out is not None:
            stem = self._name(path)
            self._write(f"{stem}.json", line + "\n")
            self._write(f"{stem}.txt", as_text(analysis))
            self._write_picture(f"{stem}.faces.jpg", _drawn(look.image, look.seen, self._camera))
            for number, face in enumerate(analysis.faces):
                for network, pixels in face.crops.items():
                    self._write_picture(f"{stem}.face{number + 1}.{network}.png", _viewable(pixels, network, networks))

    def video(self, path: Path) -> None:
        """Analyse one video: what was analysed is kept, also when it ends too early or Ctrl-C comes."""
        from edgeface.files import Growing
        from edgeface.offline.analyze import VideoAnalysis
        from edgeface.offline.draw import DrawnVideo
        from edgeface.offline.results import as_json, visit_json, visits_as_text

        networks = self._load(still=False, threads=self._config.runtime.threads)
        stem = self._name(path)
        drawn = None if self._out is None else DrawnVideo(self._out / f"{stem}.faces.mp4")
        lines = None if self._out is None else Growing(self._out / f"{stem}.json")

        def tell(line: dict[str, object]) -> None:
            text = json.dumps(line)
            if self._json:
                print(text, flush=True)
            if lines is not None:
                lines.write(text)

        video = VideoAnalysis(path, networks, self._config, min_score=self._score, camera=self._camera)
        try:
            with contextlib.closing(video.frames()) as frames:
                for frame, analysis, named in frames:
                    for earlier in named:
                        tell(as_json(earlier))
                    if drawn is not None:
                        drawn.write(_drawn(frame.image, analysis, self._camera), frame.time_s)
        finally:
            try:
                for held in video.close():
                    tell(as_json(held))
                tell({"path": str(path), "visits": [visit_json(visit) for visit in video.visits]})
                if lines is not None and drawn is not None:
                    lines.finish()
                    drawn.finish()
                    self._write(f"{stem}.txt", visits_as_text(path, video.visits))
            finally:
                for part in (lines, drawn):
                    if part is not None:
                        part.discard()

    def _name(self, path: Path) -> str:
        """File name of the source, made unique within this run."""
        name, number = path.name, 1
        while name in self._names:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"
        self._names.add(name)
        return name

    def _write(self, name: str, text: str) -> None:
        from edgeface.files import write_atomic

        assert self._out is not None
        write_atomic(self._out / name, text.encode("utf-8", "surrogateescape"))

    def _write_picture(self, name: str, image: Image) -> None:
        import cv2

        from edgeface.files import write_atomic

        assert self._out is not None
        done, data = cv2.imencode(Path(name).suffix, image)
        assert done
        write_atomic(self._out / name, data.tobytes())


def _jobs(names: Sequence[str]) -> Iterator[Job]:
    """Every file to analyse, and whether it is a still picture."""
    from edgeface.sources import files_in, is_folder, is_image

    for name in names:
        path = Path(name)
        if "://" in name:
            raise UsageError(
                f"{hide_credentials(name)} is an address, not a file", fix="watch it with `edgeface run --source`"
            )
        if is_folder(path, fix="check the path"):
            yield from files_in(path)
        else:
            yield path, is_image(path)


def _with_progress(items: Iterable[T], total: int, *, hidden: bool) -> Iterator[T]:
    """A progress bar on standard error, where that is a terminal and results do not go to one."""
    from tqdm import tqdm

    quiet = total == 1 or (hidden and sys.stdout.isatty())
    yield from tqdm(items, total=total, unit="file", disable=True if quiet else None, leave=False)


def _drawn(image: Image, analysis: Analysis, camera: Camera | None) -> Image:
    import numpy as np

    from edgeface.offline.draw import Drawing, draw_faces
    from edgeface.offline.results import describe

    faces = [
        Drawing(
            box=np.array(face.box, dtype=np.float32),
            landmarks=None if face.landmarks is None else np.array(face.landmarks, dtype=np.float32),
            lines=describe(face),
            number=number if face.track is None else face.track,
        )
        for number, face in enumerate(analysis.faces)
    ]
    return draw_faces(image, faces, camera)


def _viewable(pixels: Image, network: str, networks: Networks) -> Image:
    """Pixels of a network in OpenCV's order, for a PNG."""
    color = networks.attributes[network][0].input.color
    return pixels[..., ::-1] if color == "rgb" else pixels


def _score(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
