"""What a training recipe may say: types that refuse what they do not know, and one reader.

A recipe is a TOML file: ``converters/recipes/training/NAME.toml``, or any path. It names the network, whose own
recipe has family, input and heads, and all numbers of the training; paths in it are seen from where it lies. As in a
network's recipe ``[variants.NAME]`` says what is otherwise in ``RECIPE@NAME``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from converters.recipes.choices import choices
from converters.recipes.reading import choose_variant, read_network, seen_from, split_variant
from converters.recipes.schema import NetworkRecipe
from converters.train.augment import Augment
from converters.train.balance import By, Taggers
from converters.train.memory import Memory
from converters.train.schedule import Schedule
from edgeface.bundle import Closed
from edgeface.errors import UsageError
from edgeface.types import Task

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TRAINING = Path(__file__).parents[1] / "recipes" / "training"

Share = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0, le=1000)]
Years = Annotated[float, Meta(ge=0, le=50)]


class Start(Closed, frozen=True, kw_only=True):
    """Where training begins; nothing of it: from seeded random numbers."""

    network: Annotated[str, Meta(description="recipe of a network with public weights, such as age-v1")] = ""
    checkpoint: Annotated[str, Meta(description="file of weights that fit the network itself")] = ""


class Data(Closed, frozen=True, kw_only=True):
    """Faces to learn from: one set, some of its parts."""

    set: Annotated[str, Meta(description="fairface, utkface, fer2013 or affect, in any layout that is read")]
    parts: Annotated[tuple[str, ...], Meta(min_length=1, description="such as train, extra")] = ("train",)
    folder: Annotated[str, Meta(description="where it lies, seen from the recipe; empty: in the --data folder")] = ""
    weight: Annotated[Weight, Meta(description="how often a face of it is seen, beside one of weight 1")] = 1.0
    balance: Annotated[
        tuple[By, ...], Meta(max_length=3, description="what its faces are evened out by; none: not")
    ] = ()
    power: Annotated[
        Share, Meta(description="how far: 0 leaves faces as they come, 1 shows every group equally often")
    ] = 0.5
    taggers: Annotated[
        Taggers,
        Meta(
            description="faces by what most of FER+'s taggers saw: any; clear, none that is unknown or no face to them;"
            " same, only what the label says as well; a face without votes stays"
        ),
    ] = "any"


class Held(Closed, frozen=True, kw_only=True):
    """Faces to judge by: one part of a set."""

    set: Annotated[str, Meta(description="as of [[data]]")]
    part: Annotated[str, Meta(description="such as val; publictest for FER-2013")] = "val"
    folder: Annotated[str, Meta(description="as of [[data]]")] = ""


class Validation(Closed, frozen=True, kw_only=True):
    """Faces on which the best checkpoint is chosen, and by what."""

    sets: Annotated[tuple[Held, ...], Meta(min_length=1, description="sets and their parts")]
    score: Annotated[
        dict[str, Annotated[float, Meta(ge=-1000, le=1000)]],
        Meta(min_length=1, description='weights of figures such as "fairface bin accuracy"; what is lower is negative'),
    ]


class Distribution(Closed, frozen=True, kw_only=True, tag_field="kind", tag="distribution"):
    """Age as a distribution over years, for an ``expectation`` head."""

    weight: Annotated[Weight, Meta(description="of this loss beside the others")] = 1.0
    spread: Annotated[
        float, Meta(ge=0.1, le=20, description="years of standard deviation of the target around an exact age")
    ] = 2.5
    shape: Annotated[Weight, Meta(description="weight of the cross entropy with that target")] = 0.5
    mean: Annotated[Weight, Meta(description="weight of the smooth L1 error of the mean, a year being 1")] = 1 / 6
    prior: Annotated[bool, Meta(description="inside a bin the mass should lie as the start itself believes")] = False
    tail: Annotated[
        Years, Meta(description="years by which faces of a bin without upper end are older than it, on average; 0: any")
    ] = 0.0
    inside: Annotated[Weight, Meta(description="weight of how the mass lies inside a bin, by prior and tail")] = 0.5


class Ranks(Closed, frozen=True, kw_only=True, tag_field="kind", tag="coral"):
    """Age as ranks, for a ``coral`` head. Cao, Mirjalili, Raschka 2020, sections 3.3 and 3.5."""

    weight: Annotated[Weight, Meta(description="of this loss, a sum over ranks, beside the others")] = 0.125
    importance: Annotated[bool, Meta(description="weigh rank k by sqrt(M_k) / max, M_k the larger of its sides")] = True


class Labels(Closed, frozen=True, kw_only=True, tag_field="kind", tag="labels"):
    """One label of several, for a ``categorical`` head: gender as labelled, expression."""

    weight: Annotated[Weight, Meta(description="of this loss beside the others")] = 1.0
    smoothing: Annotated[Share, Meta(description="share of the target that is spread over all labels")] = 0.05
    class_weights: Annotated[Share, Meta(description="0: every face alike; 1: every label alike, however rare")] = 0.0
    votes: Annotated[Share, Meta(description="share of the target that FER+'s votes have, where there are any")] = 0.0
    votes_as_labelled: Annotated[
        bool, Meta(description="divide out that taggers say some labels more often than the labels do")
    ] = True


class Plane(Closed, frozen=True, kw_only=True, tag_field="kind", tag="affect"):
    """Valence and arousal, for an ``affect`` head."""

    weight: Annotated[Weight, Meta(description="of this loss beside the others")] = 1.0
    concordance: Annotated[
        Share, Meta(description="share of 1 - CCC over the batch (Lin 1989); the rest is the squared error")
    ] = 0.5


Loss = Distribution | Ranks | Labels | Plane


class Teacher(Closed, frozen=True, kw_only=True):
    """Networks whose averaged answers a student follows. Hinton, Vinyals, Dean 2015."""

    network: Annotated[str, Meta(description="recipe of the teachers; its crop rule is the student's")]
    checkpoints: Annotated[tuple[str, ...], Meta(min_length=1, description="files of their weights")]
    share: Annotated[Share, Meta(description="of the loss that the teachers have; the labels have the rest")] = 0.7
    temperature: Annotated[
        float, Meta(ge=0.5, le=20, description="by which logits of classes are divided before they are compared")
    ] = 1.0


class Mixup(Closed, frozen=True, kw_only=True):
    """Faces laid over one another, their losses mixed alike. Zhang, Cisse, Dauphin, Lopez-Paz 2018."""

    alpha: Annotated[float, Meta(gt=0, le=10, description="of the beta distribution that shares are drawn from")]
    chance: Annotated[Share, Meta(description="share of the batches that are mixed")] = 0.5


class TrainingRecipe(Closed, frozen=True, kw_only=True):
    """One training."""

    network: Annotated[str, Meta(description="name or path of a network's recipe, also NAME@VARIANT")]
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="of weights, order, jitter and dropout")] = 1
    start: Start = Start()
    data: Annotated[tuple[Data, ...], Meta(min_length=1)]
    validation: Validation
    schedule: Schedule
    augment: Augment = Augment()
    loss: dict[Task, Loss] = msgspec.field(default_factory=dict)
    """By question; one that the network answers and that is not named here has its kind of head's usual loss."""
    teacher: Teacher | None = None
    mixup: Mixup | None = None
    memory: Memory | None = None
    """A study of recurrent layers on sequences instead of a training on faces."""


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe that was read: its name, its text, the network, and the folder that paths are seen from.

    ``variants`` are the names of all that the file has.
    """

    name: str
    variants: tuple[str, ...] = ()
    text: str
    home: Path
    recipe: TrainingRecipe
    network: NetworkRecipe
    network_name: str

    def path(self, name: str) -> Path:
        """A file or folder that the recipe names."""
        return self.home / name

    def other_network(self, name: str) -> tuple[str, NetworkRecipe]:
        """Read a network's recipe that this one names."""
        return read_network(seen_from(self.home, name))


def read_training(name: str) -> Training:
    """Read a training recipe by name, or by the path of one's own, with its network; of either also ``NAME@VARIANT``.

    Raises
    ------
    UsageError : there is no such recipe or variant, or a key of it is wrong
    """
    stem, variant = split_variant(name)
    path = Path(stem) if stem.endswith(".toml") else TRAINING / f"{stem}.toml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in TRAINING.glob("*.toml")))
        raise UsageError(f"there is no training recipe {stem}", fix=f"give a path, or one of: {known}")
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
        recipe = msgspec.convert(choose_variant(table, variant, path), TrainingRecipe)
    except msgspec.ValidationError as error:
        fix = ", ".join(choices(TrainingRecipe, str(error)))
        raise UsageError(f"recipe {path}: {error}", fix=f"choose one of: {fix}" if fix else "correct it") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"recipe {path}: {error}", fix="correct the recipe") from None
    network_name, network = read_network(seen_from(path.parent, recipe.network))
    if network.family is None:
        raise UsageError(f"network {network_name} passes through and has no module", fix="name one with a family")
    return Training(
        name=f"{path.stem}-{variant}" if variant else path.stem,
        variants=tuple(table.get("variants", {})),
        # What is kept with a run tells its variant too.
        text=f"# variant: {variant}\n{text}" if variant else text,
        home=path.parent,
        recipe=recipe,
        network=network,
        network_name=network_name,
    )
