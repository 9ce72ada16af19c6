"""Recurrent states: what recurrent networks carry of each track from one sample to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgeface.bundle import Network
from edgeface.types import F32

MOST = 1024
"""Most people whose states are kept; the one sampled longest ago is dropped first."""

Person = tuple[str, int]
"""Camera and track."""


class States:
    """Recurrent states by person and network, until the track is gone."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._states: dict[Person, dict[str, Mapping[str, F32]]] = {}

    def __len__(self) -> int:
        return len(self._states)

    def recall(self, network: Network, people: Sequence[Person]) -> dict[str, F32]:
        """Return the states by `State.input`, shape (N, ...): zeros for who was not sampled yet."""
        known = [self._states.get(person, {}).get(network.name, {}) for person in people]
        return {
            state.input: np.stack([states.get(state.input, np.zeros(state.shape, np.float32)) for states in known])
            for state in network.states
        }

    def keep(self, network: Network, people: Sequence[Person], outputs: Mapping[str, F32]) -> None:
        """Keep what the network gave for these people: outputs by `State.output`, shape (N, ...).

        A state that is no number, or of another shape, would spoil every later answer: that person begins anew.
        """
        for row, person in enumerate(people if network.states else ()):
            states = self._states.pop(person, {})
            given = {state.input: outputs[state.output][row : row + 1] for state in network.states}
            if all(given[s.input].shape[1:] == s.shape and np.isfinite(given[s.input]).all() for s in network.states):
                states[network.name] = {name: array[0].copy() for name, array in given.items() if len(array)}
            else:
                states.pop(network.name, None)
            self._states[person] = states
        while len(self._states) > self._most:
            del self._states[next(iter(self._states))]

    def take_over(self, camera: str, other: States) -> None:
        """Take everybody before this camera from another."""
        for person in [person for person in other._states if person[0] == camera]:
            self._states[person] = other._states.pop(person)

    def retain(self, camera: str, tracks: Iterable[int]) -> None:
        """Drop everybody before this camera but these tracks."""
        live = set(tracks)
        for person in [person for person in self._states if person[0] == camera and person[1] not in live]:
            del self._states[person]
