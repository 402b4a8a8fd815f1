"""The study of the Brunel network: its LFP, over the ranges that ship."""

from inference.features.interface import Features
from inference.features.spectra import SpectralFeatures
from inference.workflows.shipped import DEFAULT_RANGE, range_name
from inference.workflows.study import Study
from simulators.brunel.compiled_network import CompiledBrunel
from simulators.brunel.model import RANGES, BrunelNetwork
from simulators.fields.probes import Probe
from simulators.interface import ParameterSpace

REFERENCE_SIMULATIONS = 2500
REFERENCE_SEEDS = {"asynchronous": 1, "full": 2}


def range_of(name: str) -> ParameterSpace:
    """The parameter space "asynchronous" or "full". Raises ValueError for another name."""
    return RANGES[range_name(name)]


def brunel_study(
    name: str = DEFAULT_RANGE,
    probe: Probe | None = None,
    features: Features | None = None,
    network: BrunelNetwork | None = None,
) -> Study:
    """J, g and eta of a Brunel network from its LFP or EEG.

    Arguments:
        name: of the range, "asynchronous" or "full".
        probe: where one measures; six contacts from the surface to 500 um below it by default.
        features: spectra in segments of 100 ms by default.
        network: everything that is not estimated; 12,500 neurons for 3 s by default.

    >>> study = brunel_study()
    >>> study.forward_model.probe.channels[0]
    'z = 0 um'
    """
    simulator = CompiledBrunel(network or BrunelNetwork(), range_of(name))
    return Study(simulator, simulator.forward_model(probe), features or SpectralFeatures())
