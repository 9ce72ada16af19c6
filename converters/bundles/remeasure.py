"""Networks that are cut by boxes, measured anew beside a bundle's own detector."""

from __future__ import annotations

from pathlib import Path

from converters.datasets.labelled import data_folder
from converters.evaluation.bundle_figures import attribute_rows
from converters.measurements.measured import save
from edgeface.bundle import BoxCrop, SquareCrop, open_bundle


def remeasure(folder: Path, *, data: str | None = None, limit: int | None = None) -> list[str]:
    """Measure every trained network with a rule by boxes on faces that the bundle's default detector found.

    Figures go to converters/measurements, beside those with other detectors; with ``limit`` (first faces only) nowhere.

    Returns
    -------
    names of the networks that were measured

    Raises
    ------
    UsageError : the labelled data are not there
    """
    bundle = open_bundle(folder, allow_random=True)
    labelled = data_folder(data)
    done = []
    for network in bundle.manifest.networks:
        if not isinstance(network.input.crop, BoxCrop | SquareCrop) or network.random_weights or network.time:
            continue
        runtime = next(iter(sorted(network.files, reverse=True)))
        file = (network, runtime, network.files[runtime][0].precision)
        rows = list(attribute_rows(bundle, file, labelled, detector=None, limit=limit))
        if rows:
            save(network.name, rows, dry=limit is not None)
            done.append(network.name)
    return done
