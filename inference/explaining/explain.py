"""One recording before every circuit and before a background alone: a verdict in words, then numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from inference.estimators.gradient_fit import GradientFit
from inference.evaluation.departures import Departure
from inference.explaining.comparison import BACKGROUND, CircuitComparison
from inference.explaining.fits import Explanation, background_alone, explained_by
from inference.explaining.spectra import BAND_HZ, as_trials, channel_of, compared, middle, pieces, spectrum
from inference.features.spectra import SpectralFeatures
from inference.recordings.quality import wrong_rate
from simulators.recording import Recording

EXPLAINED, DOUBTFUL, NOT_EXPLAINED = "explained", "doubtful", "not explained"
_STRANGE_ADVICE = (
    "Another circuit, a rhythm from elsewhere or an artefact may have made it; look at the figure, and try other "
    "channels and stretches."
)
# Of the probability: a circuit that has less is not said to be the one. With .95, three times as many of the recordings
# that none of the circuits made are taken for one of theirs.
_SURE = 0.99
_NAMED = 0.05  # of the probability: others that have more are named beside it
_BEYOND_DOUBT = 0.05  # of the background alone: with more, it may be all there is
PHASES = (
    "Spectra do not show everything: a copy of this recording with its phases drawn at random would be answered alike."
)


@dataclass(frozen=True, eq=False)
class Explained:
    """status: explained, doubtful or not explained; sentence: why, and advice: what to try next.

    best: the circuit that a sentence speaks of, None where it speaks of none; explanations: of every circuit, and of
    the background alone; probabilities: of each given the others, none where a part of 10 to 200 Hz is not compared.
    spectrum: of the recording, by ``features``; remarks: what was left out, and why; circuits: the circuit behind each,
    of which some are ranges; seconds: that fits have seen.
    """

    recording: str
    channel: str
    spectrum: Float[np.ndarray, "1 frequencies"]
    features: SpectralFeatures
    status: str
    sentence: str
    advice: str
    best: Explanation | None
    explanations: tuple[Explanation, ...]
    probabilities: dict[str, float]
    remarks: tuple[str, ...] = ()
    circuits: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def explain(
    name: str,
    recording: Recording | Sequence[Recording],
    fits: Mapping[str, GradientFit],
    comparison: CircuitComparison,
    channel: int = 0,
    say: Callable[[str], object] | None = None,
    band_hz: tuple[float, float] | None = None,
) -> Explained:
    """Lay one channel before each circuit.

    recording: or trials of one, whose spectra are averaged; band_hz: frequencies that count (Hz). Raises ValueError for
    a channel that is too short, slow or flat, and for a band in which nothing is compared.
    """
    trials = as_trials(recording)
    whole = channel_of(trials, channel)
    alone = replace(trials[0], values=trials[0].values[[channel]], unit="1", channels=(trials[0].channels[channel],))
    band, remarks = compared(alone, band_hz)
    partly = band != BAND_HZ
    within = {circuit: fit.within(*band) if partly else fit for circuit, fit in fits.items()}
    groups = pieces(whole)
    measured = [middle(whole[0])] if len(whole) == 1 else [middle(one) for one in groups[len(groups) // 2]]
    found = []
    for circuit, fit in within.items():
        if say is not None:
            say(circuit)
        found.append(explained_by(circuit, fit, measured))
    first = next(iter(within.values()))
    found.append(background_alone(BACKGROUND, first, measured))
    probabilities = {} if partly else comparison.probabilities_of(whole)
    if partly:
        status, sentence, advice, best = _verdict_of_fits(found, comparison.circuit_of, first.counted)
        remarks = (*remarks, f"{first.counted} are compared; {_NO_PROBABILITIES}")
    else:
        status, sentence, advice, best = _verdict(found, probabilities, comparison.circuit_of)
        if status == EXPLAINED and best is not None and comparison.strangeness(whole, best.name) > 1:
            status, advice = DOUBTFUL, _STRANGE_ADVICE
            sentence = (
                f"{best.name} can be fitted to this recording, yet none of its simulations, with a background or "
                f"without, has a spectrum like that."
            )
    remarks = (*remarks, *wrong_rate(alone))
    seen = spectrum(first.features, [first.ready(one) for one in measured])
    circuits = {each: comparison.circuit_of(each) for each in (*fits, BACKGROUND)}
    return Explained(
        name, alone.channels[0], seen, first.features, status, sentence, advice, best, tuple(found),
        probabilities, remarks, circuits, sum(one.duration_ms for one in measured) / 1e3,
    )  # fmt: skip


def _verdict(
    found: list[Explanation], probabilities: Mapping[str, float], circuit_of: Callable[[str], str]
) -> tuple[str, str, str, Explanation | None]:
    """Status, sentence, advice, and the circuit that is meant."""
    alone = next(e for e in found if e.name == BACKGROUND)
    fitting = sorted((e for e in found if e.fits and e.name != BACKGROUND), key=lambda e: -probabilities[e.name])
    if not fitting:
        return _none_fits(found, alone)
    best = fitting[0]
    kin = [name for name in probabilities if circuit_of(name) == circuit_of(best.name)]
    given = sum(probabilities[name] for name in kin)
    others = [e for e in fitting[1:] if e.name not in kin and probabilities[e.name] > _NAMED]
    if alone.fits and probabilities[BACKGROUND] > _BEYOND_DOUBT:
        return (
            DOUBTFUL,
            f"A background alone explains this recording ({probabilities[BACKGROUND]:.0%}), as {best.name} would with "
            f"{best.share:.0%} of background: nothing is told of a circuit.",
            _MORE_RHYTHM,
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


def _none_fits(found: list[Explanation], alone: Explanation) -> tuple[str, str, str, Explanation | None]:
    if alone.fits:
        return (
            NOT_EXPLAINED,
            "No circuit explains this recording, and a background alone does: nothing is told of a circuit.",
            _MORE_RHYTHM,
            None,
        )
    nearest = min((e for e in found if e.name != BACKGROUND), key=lambda e: e.misfit - e.worst)
    return (
        NOT_EXPLAINED,
        f"No circuit explains this recording, with a background or without; nearest is {nearest.name}, "
        f"{_where(nearest)}.",
        _ADVICE,
        None,
    )


def _verdict_of_fits(
    found: list[Explanation], circuit_of: Callable[[str], str], where: str
) -> tuple[str, str, str, Explanation | None]:
    """The same where there are no probabilities: a circuit is named if it alone makes such spectra.

    Each circuit's own recordings fail its check in 5 %, so that the others are then ruled out about as surely as
    probabilities do.
    """
    alone = next(e for e in found if e.name == BACKGROUND)
    fitting = sorted((e for e in found if e.fits and e.name != BACKGROUND), key=lambda e: e.misfit - e.worst)
    if not fitting:
        return _none_fits(found, alone)
    circuits, best = list(dict.fromkeys(circuit_of(e.name) for e in fitting)), fitting[0]
    if alone.fits:
        return (
            DOUBTFUL,
            f"A background alone explains {where} of this recording, as {', '.join(circuits)} would: nothing is told "
            f"of a circuit.",
            _MORE_RHYTHM,
            None,
        )
    if len(circuits) > 1:
        sentence = f"More than one circuit explains {where} of this recording: {', '.join(circuits)}."
        return DOUBTFUL, f"{sentence} Parameters are those of {best.name}, which fits best, if it is that.", _MORE, best
    return (
        EXPLAINED,
        f"{circuits[0]} explains {where} of this recording, and no other circuit does, with {best.share:.0%} of the "
        f"power there as background; parameters are those of {best.name}.",
        "",
        best,
    )


_MORE_RHYTHM = "Take a recording with a rhythm, or with less background; or a longer one."
_NO_PROBABILITIES = "probabilities are not given, as they were learned from 10 to 200 Hz as a whole"
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


def line_of(explanation: Explanation, probability: float | None) -> tuple[str, str, str, str]:
    """Name, whether it explains, where not, and the probability: in brackets where it means nothing, "" for None."""
    told = "" if probability is None else f"{probability:.0%}"
    if explanation.fits:
        where = "" if explanation.name == BACKGROUND else f"background {explanation.share:.0%}"
        return explanation.name, "explains it", where, told
    where = "; ".join(in_decibels(d) for d in explanation.check.departures) or "all frequencies a little"
    return explanation.name, "does not", where, told and f"({told})"
