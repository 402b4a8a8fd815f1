"""Rhythms of the cortical column: one run, and the gains that give it a rhythm that is wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from inference.estimate import Estimate
from inference.evaluation.rhythm import Activity, Rhythm, activity_of, unlike
from inference.features.spectra import SpectralFeatures
from inference.fitting.rounds import FitInRounds, Fitted
from inference.fitting.targets import BandPower, Rate, Spectrum, Target
from inference.recordings.conform import resampled
from inference.reports.verdict import DOUBTFUL, OK, REFUSED, Verdict
from inference.workflows.column import RATE_HZ
from simulators.campaigns.workers import local_pool
from simulators.column.connectivity import SHORT, ColumnModel
from simulators.column.every_cell import GAIN
from simulators.column.simulator import ColumnSimulator
from simulators.column.standard_drives import noise
from simulators.provenance import versions
from simulators.recording import Recording
from surrogates.network.column import SurrogateColumn, recordings_of

SHOWN = SpectralFeatures(RATE_HZ, segment_ms=500.0, band_hz=(2.0, 100.0))
"""The spectra that figures of a column show."""

_ORDER = {SHORT[t]: t for t in ("L2_pyramidal", "L2_basket", "L5_pyramidal", "L5_basket")}
_LARGEST_GAIN = 3.0  # decades
_INSIDE = 1.5, 0.75  # times the bounds of rates: losses begin before these are crossed
_DRIVES = 16  # that a column of surrogates is looked at under
_FIRST_DRIVE = 9000
_MOST_DRIVES = 0.8  # share of NEURON's, under which the peak lies in the band where it agrees


def noisy_column(
    gains: dict[str, float] | None = None, rate_Hz: float = 120.0, duration_s: float = 1.2
) -> ColumnSimulator:
    """The column under noise; free are the gains given, of pairs or of receptors, or those of all pairs.

    Raises ValueError for a gain of no connection or no number, a rate that is not positive, and no duration.
    """
    if not rate_Hz > 0:
        raise ValueError(f"noise of {rate_Hz:g} Hz drives nothing; give a rate above 0, such as 120")
    if not 0 < duration_s < np.inf:
        raise ValueError(f"there is no run of {duration_s:g} s; give a positive duration")
    model = ColumnModel()
    for name, value in (gains or {}).items():
        if _LARGEST_GAIN < abs(value) < np.inf:
            raise ValueError(
                f"the gain {name} is {value:g}, in decades; nothing beyond ±{_LARGEST_GAIN:g} is simulated"
            )
    model.factors(gains or {})
    free = tuple(model.gain(name, min(-GAIN, value), max(GAIN, value)) for name, value in (gains or {}).items())
    return ColumnSimulator(
        model, drives=(noise(rate_Hz),), free=free or model.gains(-GAIN, GAIN), duration_ms=1e3 * duration_s
    )


def activities(
    column: ColumnSimulator | SurrogateColumn,
    theta: Float[np.ndarray, " n_parameters"],
    seeds: Sequence[Any],
    workers: int = 1,
) -> list[Activity]:
    """Runs at theta, one for each seed of its drives; in NEURON by so many processes, of surrogates side by side."""
    if isinstance(column, ColumnSimulator):
        if workers == 1 or len(seeds) == 1:
            return [_in_neuron(column, theta, seed) for seed in seeds]
        with local_pool(workers) as pool:
            return list(pool.map(_in_neuron, [column] * len(seeds), [theta] * len(seeds), seeds))
    of = column.column
    drives = [of.events(theta, np.random.default_rng(seed)) for seed in seeds]
    run = column.run(np.tile(theta, (len(seeds), 1)), drives)
    dipoles = recordings_of(replace(of, record=("dipole",)), run)
    return [activity_of(d, spikes, _populations(of)) for d, spikes in zip(dipoles, run.spikes, strict=True)]


def _in_neuron(column: ColumnSimulator, theta: Float[np.ndarray, " n_parameters"], seed: Any) -> Activity:
    run = column.run(theta, column.events(theta, np.random.default_rng(seed)))
    spikes = np.stack([v[1] for v in run.values])
    return activity_of(replace(column, record=("dipole",)).observe(run), spikes, _populations(column))


def _populations(column: ColumnSimulator) -> dict[str, np.ndarray]:
    return {short: column.model.cells_of(cell_type) for short, cell_type in _ORDER.items()}


@dataclass(frozen=True, eq=False)
class Wanted:
    """A rhythm that is wanted: most power in a band (Hz), a spectrum like a recording's, or both; and rates in bounds.

    Raises ValueError where neither is given, for a band that is none within 1-100 Hz, for rates upside down, and for a
    recording of more than one channel, or one without a spectrum.
    """

    band_Hz: tuple[float, float] | None = None
    like: Recording | None = None
    rates_Hz: tuple[float, float] = (1.0, 60.0)

    def __post_init__(self) -> None:
        if self.band_Hz is None and self.like is None:
            raise ValueError("nothing is wanted; give a band, such as --band 15,60, or a recording (--like)")
        if self.band_Hz is not None and not 1 <= self.band_Hz[0] < self.band_Hz[1] <= 100:
            low, high = self.band_Hz
            raise ValueError(f"{low:g} ... {high:g} Hz is no band; give the lower end first, within 1 ... 100 Hz")
        low, high = self.rates_Hz
        if not 0 <= low < high < np.inf:
            raise ValueError(f"rates of {low:g} ... {high:g} Hz cannot be; give the lower bound first, such as 1,60")
        if self.like is not None and len(self.like.channels) != 1:
            raise ValueError(
                f"the recording to be like has {len(self.like.channels)} channels; pick one with --channels"
            )
        self.targets(ColumnModel())

    def targets(self, model: ColumnModel) -> list[Target]:
        """Their losses."""
        wanted: list[Target] = []
        if self.band_Hz is not None:
            wanted.append(BandPower(channel="dipole", band_hz=self.band_Hz))
        if self.like is not None:
            like = replace(self.like, channels=("dipole",))
            wanted.append(Spectrum(channel="dipole", like=like, relative=True))
        low, high = (factor * bound for factor, bound in zip(_INSIDE, self.rates_Hz, strict=True))
        low, high = (low, high) if low < high else self.rates_Hz
        for short, cell_type in _ORDER.items():
            cells = len(model.cells_of(cell_type))
            wanted.append(Rate(channel=f"{short} spikes", cells=cells, low_Hz=low, high_Hz=high))
        return wanted

    @property
    def spectrum(self) -> Float[np.ndarray, " frequencies"] | None:
        """log10 power of the recording to be like, on the frequencies that figures show."""
        return None if self.like is None else SHOWN(resampled(self.like, RATE_HZ))[0]

    def missing(self, rhythm: Rhythm) -> str:
        """What is not as wanted, in words: too few runs with their peak in the band, rates out of bounds; or ""."""
        found = []
        if self.band_Hz is not None:
            inside = int(np.sum((rhythm.peaks_Hz >= self.band_Hz[0]) & (rhythm.peaks_Hz <= self.band_Hz[1])))
            if inside < _MOST_DRIVES * len(rhythm.runs):
                found.append(f"the peak lies in the band under {inside} of {len(rhythm.runs)} drives")
        low, high = self.rates_Hz
        found += [f"{name} at {rate:.3g} Hz" for name, rate in rhythm.rates_Hz.items() if not low <= rate <= high]
        return ", ".join(found)

    def unlike(self, rhythm: Rhythm) -> float:
        """How far its spectrum is from the one that is wanted, in decades; 0 where none is."""
        spectrum = self.spectrum
        return 0.0 if spectrum is None else unlike(np.log10((10**rhythm.spectra).mean(axis=0)), spectrum)


@dataclass(frozen=True, eq=False)
class FoundRhythm:
    """Gains that were found, the column as it comes and with them, and the same in NEURON where that was asked for."""

    wanted: Wanted
    fitted: Fitted
    before: Rhythm
    after: Rhythm
    neuron_before: Rhythm | None = None
    neuron: Rhythm | None = None

    @property
    def objection(self) -> str:
        """What NEURON's column does that was not wanted, where that of surrogates does all; "" for nothing."""
        if self.neuron is None or self.neuron_before is None or self.wanted.missing(self.after):
            return ""
        missing = self.wanted.missing(self.neuron)
        if not missing and self.wanted.unlike(self.neuron) > self.wanted.unlike(self.neuron_before):
            return "its spectrum is no nearer to the one wanted"
        return missing

    @property
    def estimate(self) -> Estimate:
        """The gains, not to be trusted where NEURON's column disagrees."""
        return replace(self.fitted.estimate, trusted=not self.objection)

    @property
    def runs(self) -> dict[str, Rhythm]:
        """What was looked at, by a name for it."""
        named = {
            "surrogates, as it comes": self.before,
            "surrogates, found gains": self.after,
            "NEURON, as it comes": self.neuron_before,
            "NEURON, found gains": self.neuron,
        }
        return {name: rhythm for name, rhythm in named.items() if rhythm is not None}

    @property
    def verdict(self) -> Verdict:
        """What to make of it."""
        missing, again = self.wanted.missing(self.after), "Try more --rounds, or another --seed."
        if self.objection:
            sentence = (
                f"Do not trust these gains: with them NEURON's column does not do what was wanted ({self.objection})."
            )
            return Verdict(REFUSED, sentence, advice=again)
        if missing:
            return Verdict(DOUBTFUL, f"With care: what was wanted was not reached ({missing}).", advice=again)
        done = "With these gains the column of surrogates does what was wanted"
        if self.neuron is None:
            advice = "Ask before believing them: --check 5 simulates it there, under 5 drives."
            return Verdict(DOUBTFUL, f"With care: {done}; NEURON's column was not asked.", advice=advice)
        drives = len(self.neuron.runs)
        return Verdict(OK, f"{done}, and so does NEURON's, under {drives} drive{'s' * (drives > 1)} of its own.")

    @property
    def about(self) -> dict[str, Any]:
        """What made it."""
        rounds = self.fitted.rounds
        return {"simulations in rounds": rounds[-1].simulations if rounds else 0, "versions": versions()}

    def to_json(self) -> dict[str, Any]:
        """Gains, alternatives and what they give, for JSON."""
        names = self.fitted.estimate.names
        return {
            "gains": dict(zip(names, self.fitted.estimate.point.tolist(), strict=True)),
            "alternatives": [dict(zip(names, a.tolist(), strict=True)) for a in self.fitted.alternatives],
            "loss": self.fitted.loss,
            "about": self.about,
            "verdict": self.verdict.sentence,
            "found": {name: self.measured(rhythm) for name, rhythm in self.runs.items()},
        }

    def measured(self, rhythm: Rhythm) -> dict[str, Any]:
        """Numbers of one column."""
        numbers: dict[str, Any] = {"peak_Hz": float(np.median(rhythm.peaks_Hz)), "rates_Hz": rhythm.rates_Hz}
        if self.wanted.band_Hz is not None:
            numbers["share_in_band"] = rhythm.share(self.wanted.band_Hz)
        if self.wanted.like is not None:
            numbers["unlike_decades"] = self.wanted.unlike(rhythm)
        return numbers


def find_rhythm(
    wanted: Wanted,
    rate_Hz: float = 120.0,
    seed: int = 0,
    check: int = 0,
    workers: int = 2,
    say: Callable[[str], Any] | None = None,
    **rounds: int,
) -> FoundRhythm:
    """Gains of all pairs with which the column of surrogates has the rhythm that is wanted.

    check: drives under which NEURON's column is simulated with them and without; rounds: what ``FitInRounds`` takes.
    Raises ValueError as that does, and for a rate that is not positive.
    """
    column = noisy_column(rate_Hz=rate_Hz)
    heard = SurrogateColumn(replace(column, record=("dipole", "spikes")))
    fitted = FitInRounds(heard, wanted.targets(column.model), seed=seed, progress=False, **rounds).fit(say)
    nothing, found = np.zeros(len(column.free)), fitted.estimate.point

    def rhythm(of: ColumnSimulator | SurrogateColumn, theta: np.ndarray, drives: int) -> Rhythm:
        seeds = [[_FIRST_DRIVE, seed, k] for k in range(drives)]
        return Rhythm(tuple(activities(of, theta, seeds, workers)), SHOWN)

    before, after = (rhythm(heard, theta, _DRIVES) for theta in (nothing, found))
    if not check:
        return FoundRhythm(wanted, fitted, before, after)
    if say is not None:
        say(f"NEURON simulates the column under {check} drives, as it comes and with the gains found")
    return FoundRhythm(wanted, fitted, before, after, *(rhythm(column, theta, check) for theta in (nothing, found)))
