"""What live cameras cost: sums between two looks, of which `edgeface.engine.levels` calculates what a level would."""

from __future__ import annotations

from collections.abc import Callable

from edgeface.engine.levels import Costs


class Load:
    """Seconds that the worker spent, by what for; the clock is handed in.

    Attributes
    ----------
    seen : cameras that have given frames since the last look
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._since_s = self._clock()
        self._detect_s = self._rest_s = self._answer_s = 0.0
        self._frames = self._searches = self._wanted = self._made = 0
        self.seen: set[str] = set()

    def frame(self, camera: str, elapsed_s: float, *, searched: bool) -> None:
        """Count a frame, and the seconds of its search."""
        self.seen.add(camera)
        self._frames += 1
        self._searches += searched
        self._detect_s += elapsed_s

    def rest(self, elapsed_s: float) -> None:
        """Count seconds that go with the frames, whatever is done at them."""
        self._rest_s += elapsed_s

    def answers(self, elapsed_s: float, *, wanted: int, made: int) -> None:
        """Count seconds in networks for faces, and how many inferences were wanted and made."""
        self._answer_s += elapsed_s
        self._wanted += wanted
        self._made += made

    def take(self, *, rate: float, shrunk: float) -> Costs:
        """Costs since the last look; nothing costs what did not happen.

        Parameters
        ----------
        rate : frames a second that the cameras in `seen` are to be analysed at
        shrunk : as `Costs.shrunk`
        """
        elapsed_s = self._clock() - self._since_s
        costs = Costs(
            rate=rate,
            detect_s=self._detect_s / self._searches if self._searches else 0.0,
            frame_s=self._rest_s / self._frames if self._frames else 0.0,
            answer_s=self._answer_s / elapsed_s if elapsed_s > 0 else 0.0,
            waiting=self._wanted / self._made if self._made else 1.0,
            shrunk=shrunk,
        )
        self._begin()
        return costs
