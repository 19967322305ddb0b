"""Agreement of a judge with another one, and the correction of its scores that follows from it."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

from scipy.stats import binomtest

from tft.core.conversation import Verdict
from tft.core.errors import InputError

DIGITS = 6


class Agreement(NamedTuple):
    """Counts of two judges' verdicts on the same turns; "theirs" is taken for the truth."""

    both_good: int
    only_theirs: int
    only_ours: int
    both_bad: int

    @property
    def raw(self) -> float:
        """The share of turns with the same verdict."""
        return (self.both_good + self.both_bad) / sum(self)

    @property
    def kappa(self) -> float:
        """Cohen's kappa: agreement beyond what the two rates of "good" yield by chance."""
        theirs, ours = self._rates
        chance = theirs * ours + (1 - theirs) * (1 - ours)
        return 1.0 if chance == 1 else (self.raw - chance) / (1 - chance)

    @property
    def ac1(self) -> float:
        """Gwet's AC1 which, unlike kappa, does not fall when nearly all verdicts are the same.

        Gwet 2008, https://doi.org/10.1348/000711006X126600.
        """
        good = sum(self._rates) / 2
        chance = 2 * good * (1 - good)
        return (self.raw - chance) / (1 - chance)

    @property
    def sensitivity(self) -> float | None:
        """The share of turns good by their judge that ours calls good; None if there are none."""
        return _share(self.both_good, self.both_good + self.only_theirs)

    @property
    def specificity(self) -> float | None:
        """The share of turns bad by their judge that ours calls bad; None if there are none."""
        return _share(self.both_bad, self.both_bad + self.only_ours)

    @property
    def _rates(self) -> tuple[float, float]:
        n = sum(self)
        return (self.both_good + self.only_theirs) / n, (self.both_good + self.only_ours) / n

    def summary(self) -> dict[str, Any]:
        """All measures, for a JSON file; `_95` are Wilson intervals for independent turns."""
        numbers = {
            "agreement": (self.raw, self.both_good + self.both_bad, sum(self)),
            "sensitivity": (self.sensitivity, self.both_good, self.both_good + self.only_theirs),
            "specificity": (self.specificity, self.both_bad, self.both_bad + self.only_ours),
        }
        return {
            "n": sum(self),
            **self._asdict(),
            "kappa": round(self.kappa, DIGITS),
            "ac1": round(self.ac1, DIGITS),
            **{key: _rounded(value) for key, (value, _, _) in numbers.items()},
            **{f"{key}_95": wilson(k, n) for key, (_, k, n) in numbers.items()},
        }


def agreement(theirs: Sequence[bool], ours: Sequence[bool]) -> Agreement:
    """Cross-tabulate two judges' verdicts (True means good), aligned by position.

    Raises:
        InputError: there are no verdicts.
    """
    pairs = list(zip(theirs, ours, strict=True))
    if not pairs:
        raise InputError("no verdicts to compare")
    return Agreement(
        pairs.count((True, True)),
        pairs.count((True, False)),
        pairs.count((False, True)),
        pairs.count((False, False)),
    )


def wilson(hits: int, n: int) -> list[float] | None:
    """Wilson's 95 % interval of a share, or None if n is 0.

    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.
    """
    if n == 0:
        return None
    bounds = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return [round(float(bound), DIGITS) for bound in bounds]


def corrected(
    rate: float | None, sensitivity: float | None, specificity: float | None
) -> float | None:
    """A judge's rate of "good", corrected for its errors: the estimated share of good turns.

    Rogan & Gladen 1978, https://doi.org/10.1093/oxfordjournals.aje.a112510, clipped to [0, 1].
    Valid if the judge errs on these turns as often as on those on which it was measured.

    Returns:
        None if one of the numbers is unknown or the judge is no better than chance
        (sensitivity + specificity <= 1).
    """
    if rate is None or sensitivity is None or specificity is None:
        return None
    better = sensitivity + specificity - 1
    if better <= 1e-9:  # not 0, because 0.9 + 0.1 is not exactly 1 in floating point
        return None
    return min(1.0, max(0.0, (rate + specificity - 1) / better))


def _share(hits: int, n: int) -> float | None:
    return hits / n if n else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def judges_agreement(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """How often every two judges agree where both gave a verdict, by "NAME, NAME"."""
    names = sorted({name for verdict in verdicts for name in verdict.votes})
    result = {}
    for first, second in combinations(names, 2):
        shared_votes = [v.votes for v in verdicts if first in v.votes and second in v.votes]
        if shared_votes:
            pair = agreement(
                [votes[first] for votes in shared_votes], [votes[second] for votes in shared_votes]
            )
            result[f"{first}, {second}"] = {
                "n": len(shared_votes),
                "agreement": round(pair.raw, DIGITS),
                "ac1": round(pair.ac1, DIGITS),
            }
    return result
