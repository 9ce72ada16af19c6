"""What a question about a face is: everything about it that the rest of the program only loops over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from msgspec import Struct

from edgeface.types import Answer, Estimate, Head, Task


class Schedule(Struct, frozen=True, kw_only=True):
    """How often a network samples one person, with every number said."""

    interval: float
    initial_interval: float = 0.2
    initial_samples: int = 5
    improvement: float = 1.3


class State(Protocol):
    """What the samples of one person add up to; a frozen value."""

    @property
    def samples(self) -> int:
        """Samples that weighed something."""


DIFFERENCE_MOST = 4.0
"""Most that the answers to one question can say for two people: they are of the same networks, and may err alike."""

S = TypeVar("S", bound=State)
V = TypeVar("V")
P = TypeVar("P", bound=Struct)


class Question(ABC, Generic[S, V, P]):
    """One question: state ``S`` of the samples, fused value ``V`` of a visit, part ``P`` of a message.

    Attributes
    ----------
    task : its name in manifests, configuration, messages and results
    notice : what it measures, in words for the people before the camera
    schedule : how often a network samples a person, where no `[schedule.<network>]` says otherwise
    reads : what its heads' `estimate` gives; a kind of head that gives another estimate cannot answer it
    certainty : probability below which the answer is unknown; 0 where there is none, or it always counts
    emotion : whether it infers what somebody feels, which some purposes forbid (`privacy.purpose`)
    usual : whether results tell of it also where no network answers it
    start : the state before the first sample
    """

    task: ClassVar[Task]
    notice: ClassVar[str]
    schedule: ClassVar[Schedule]
    reads: ClassVar[type[Estimate]]
    certainty: ClassVar[float] = 0.0
    emotion: ClassVar[bool] = False
    usual: ClassVar[bool] = False
    start: S

    @abstractmethod
    def add(self, state: S, answer: Answer, head: Head) -> S:
        """Fold one sample into the state."""

    @abstractmethod
    def value(self, state: S, head: Head, certainty: float) -> V | None:
        """Say what is known after at least one sample; None where it is less certain than ``certainty``."""

    def last(self, state: S, head: Head, certainty: float) -> V | None:
        """Say what is known of a visit that has ended; None as of `value`."""
        return self.value(state, head, certainty)

    def difference(self, one: V, other: V) -> float:  # noqa: ARG002
        """How much likelier two values are of two people than of one: a natural logarithm, 0 to `DIFFERENCE_MOST`."""
        return 0.0

    @abstractmethod
    def gist_of(self, state: S, head: Head, certainty: float, bands: Sequence[int] = ()) -> Hashable | None:
        """What a person would say of the `value` of a state, None where that is none.

        An update is worth sending when this differs. It is asked far more often than the value: no more of that is
        worked out than it takes. ``bands`` are ages at which bands begin, where of an age no more is told.
        """

    @abstractmethod
    def part(self, value: V) -> P:
        """Round a value to what messages and results tell."""

    @abstractmethod
    def text(self, part: P) -> str:
        """Say it in a sentence about a visit."""

    def brief(self, part: P) -> str:
        """Say it in a line of a list of visits."""
        return self.text(part)

    @abstractmethod
    def estimate(self, value: V) -> Any:
        """Bring a value into the form of a single sample's estimate, of type `reads`."""

    @abstractmethod
    def sample_fields(self, estimate: Any) -> Mapping[str, object]:
        """Round one sample's estimate, of type `reads`, to what results tell as JSON."""
