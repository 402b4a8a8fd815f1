"""One recording before every circuit and before a background alone: a verdict in words, then numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.departures import Departure
from inference.explaining.comparison import BACKGROUND, CircuitComparison
from inference.explaining.fits import Explanation, background_alone, explained_by
from inference.explaining.spectra import middle, one_channel
from simulators.recording import Recording

EXPLAINED, DOUBTFUL, NOT_EXPLAINED = "explained", "doubtful", "not explained"
_SURE = 0.95  # of the probability: a circuit that has less is not said to be the one
_BEYOND_DOUBT = 0.05  # of the background alone: with more, it may be all there is
PHASES = (
    "Spectra do not show everything: a copy of this recording with its phases drawn at random would be answered alike."
)


@dataclass(frozen=True, eq=False)
class Explained:
    """status: explained, doubtful or not explained; sentence: why, and advice: what to try next.

    best: the circuit that a sentence speaks of, None where it speaks of none; explanations: of every circuit, and of
    the background alone; probabilities: of each given the others; circuits: the circuit behind each, of which some are
    ranges.
    """

    recording: str
    channel: str
    measured: Recording
    status: str
    sentence: str
    advice: str
    best: Explanation | None
    explanations: tuple[Explanation, ...]
    probabilities: dict[str, float]
    circuits: dict[str, str] = field(default_factory=dict)


def explain(
    name: str,
    recording: Recording,
    fits: Mapping[str, GradientFit],
    comparison: CircuitComparison,
    channel: int = 0,
    say: Callable[[str], object] | None = None,
) -> Explained:
    """Lay one channel before each circuit. Raises ValueError for a channel that is too short, slow or flat."""
    whole = one_channel(recording, channel)
    measured, found = middle(whole), []
    for circuit, fit in fits.items():
        if say is not None:
            say(circuit)
        found.append(explained_by(circuit, fit, measured))
    found.append(background_alone(BACKGROUND, next(iter(fits.values())), measured))
    probabilities = comparison.probabilities(whole)
    status, sentence, advice, best = _verdict(found, probabilities, comparison.circuit_of)
    circuits = {each: comparison.circuit_of(each) for each in probabilities}
    return Explained(
        name,
        recording.channels[channel],
        measured,
        status,
        sentence,
        advice,
        best,
        tuple(found),
        probabilities,
        circuits,
    )


def _verdict(
    found: list[Explanation], probabilities: Mapping[str, float], circuit_of: Callable[[str], str]
) -> tuple[str, str, str, Explanation | None]:
    """Status, sentence, advice, and the circuit that is meant."""
    alone = next(e for e in found if e.name == BACKGROUND)
    fitting = sorted((e for e in found if e.fits and e.name != BACKGROUND), key=lambda e: -probabilities[e.name])
    if not fitting and alone.fits:
        return (
            NOT_EXPLAINED,
            "No circuit explains this recording, and a background alone does: nothing is told of a circuit.",
            "Take a recording with a rhythm, or with less background; or a longer one.",
            None,
        )
    if not fitting:
        nearest = min((e for e in found if e.name != BACKGROUND), key=lambda e: e.misfit - e.worst)
        return (
            NOT_EXPLAINED,
            f"No circuit explains this recording, with a background or without; nearest is {nearest.name}, "
            f"{_where(nearest)}.",
            _ADVICE,
            None,
        )
    best = fitting[0]
    kin = [name for name in probabilities if circuit_of(name) == circuit_of(best.name)]
    given = sum(probabilities[name] for name in kin)
    others = [e for e in fitting[1:] if e.name not in kin and probabilities[e.name] > 1 - _SURE]
    if alone.fits and probabilities[BACKGROUND] > _BEYOND_DOUBT:
        return (
            DOUBTFUL,
            f"A background alone explains this recording ({probabilities[BACKGROUND]:.0%}), as {best.name} would with "
            f"{best.share:.0%} of background: nothing is told of a circuit.",
            "Take a recording with a rhythm, or with less background; or a longer one.",
            None,
        )
    if given < _SURE:
        told = {circuit_of(best.name): given} | {e.name: probabilities[e.name] for e in others}
        names = ", ".join(f"{name} ({share:.0%})" for name, share in told.items())
        elsewhere = max((n for n in probabilities), key=lambda n: probabilities[n])
        why = (
            f"More than one circuit explains this recording: {names}"
            if others
            else f"{best.name} explains this recording, but {elsewhere} has {probabilities[elsewhere]:.0%}"
            if elsewhere not in kin
            else f"{best.name} explains this recording, with a probability of {given:.0%} only"
        )
        return DOUBTFUL, f"{why}. Parameters are those of {best.name}, if it is that.", _MORE, best
    return (
        EXPLAINED,
        f"{circuit_of(best.name)} explains this recording ({given:.0%} given the other circuits), with "
        f"{best.share:.0%} of its power, 10 to 200 Hz, as background"
        + ("." if circuit_of(best.name) == best.name else f"; parameters are those of {best.name}."),
        "",
        best,
    )


_ADVICE = (
    "Look at the figure: where the recording leaves the band, another circuit, a rhythm from elsewhere or an artefact "
    "is at work. Try other channels and stretches, or estimate a circuit of your own ('circuitsbi simulate', 'train')."
)
_MORE = "Other channels, and other stretches of the recording, may decide."


def _where(explanation: Explanation) -> str:
    """At which frequencies it departs, and by how many decibels."""
    check = explanation.check
    if check.departures:
        return "which it leaves " + " and ".join(in_decibels(d) for d in check.departures)
    if explanation.misfit > explanation.worst:
        return f"{explanation.misfit - explanation.worst:.3g} nats too unlikely, spread over all frequencies"
    return f"in whose band only {check.inside:.0%} of the spectrum lies ({check.expected:.0%} are expected)"


def in_decibels(departure: Departure) -> str:
    """Frequencies, and by how much the power there differs from what the circuit makes."""
    dB = 10 * np.log10(departure.factor)
    at = (
        f"at {departure.low_hz:g} Hz"
        if departure.low_hz == departure.high_hz
        else f"at {departure.low_hz:g}-{departure.high_hz:g} Hz"
    )
    return f"{at} by {dB:+.1f} dB"


def line_of(explanation: Explanation, probability: float) -> tuple[str, str, str, str]:
    """Name, whether it explains, where not, and the probability: in brackets where it means nothing."""
    if explanation.fits:
        where = "" if explanation.name == BACKGROUND else f"background {explanation.share:.0%}"
        return explanation.name, "explains it", where, f"{probability:.0%}"
    where = "; ".join(in_decibels(d) for d in explanation.check.departures) or "all frequencies a little"
    return explanation.name, "does not", where, f"({probability:.0%})"
