"""The study of the cortical column: gains of its connections, and its drive, from its dipole."""

from dataclasses import replace

from inference.features.evoked import EvokedResponse
from inference.features.spectra import SpectralFeatures
from inference.workflows.study import Study
from simulators.column.connectivity import ColumnModel
from simulators.column.every_cell import GAIN, wide_column
from simulators.column.simulator import ColumnSimulator
from simulators.column.standard_drives import EVOKED
from surrogates.network.column import SurrogateColumn

RATE_HZ = 500.0  # of what estimators see; simulated dipoles are four times as fast
_APART = ("noise_L2i_gain", "noise_L5i_gain")  # what a dipole cannot tell from gains of the same basket cells


def rhythmic_column(duration_ms: float = 1200.0, record: tuple[str, ...] = ("dipole",)) -> ColumnSimulator:
    """The column under noise: unknown are the gains of the 11 pairs of cell types, the noise's rate and its weights.

    All within what the shipped surrogates learned from.
    """
    wide = wide_column()
    free = tuple(p for p in wide.free if p.name not in _APART)
    return replace(wide, free=free, record=record, duration_ms=duration_ms, transient_ms=200.0)


def evoked_column(record: tuple[str, ...] = ("dipole",)) -> ColumnSimulator:
    """The column's response to a tactile stimulus: unknown are the gains of the 11 pairs."""
    return ColumnSimulator(
        drives=EVOKED, free=ColumnModel().gains(-GAIN, GAIN), record=record, duration_ms=200.0, transient_ms=0.0
    )


def rhythm_study(relative: bool = True, duration_ms: float = 1200.0) -> Study:
    """Gains and noise from the spectrum of a dipole, by columns of surrogates.

    relative: for dipoles of unknown scale, as measured ones are: how many columns they are the sum of is not known.

    >>> rhythm_study().parameters.names[-2:]
    ('noise_rate_Hz', 'noise_gain')
    """
    features = SpectralFeatures(RATE_HZ, segment_ms=500.0, band_hz=(2.0, 100.0), relative=relative)
    return Study(SurrogateColumn(rhythmic_column(duration_ms)), None, features)


def evoked_study(relative: bool = True) -> Study:
    """Gains from the waveform of an evoked dipole."""
    features = EvokedResponse(RATE_HZ, duration_ms=200.0, bin_ms=2.0, relative=relative)
    return Study(SurrogateColumn(evoked_column()), None, features)
