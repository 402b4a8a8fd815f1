"""The Brunel network in NEST: the reference for the compiled one, and the way to networks that one cannot hold."""

import ctypes
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float

from simulators.brunel.model import FULL_RANGE, RANGES, BrunelNetwork
from simulators.brunel.populations import TwoPopulations
from simulators.interface import ParameterSpace
from simulators.recording import Recording, Spikes

if TYPE_CHECKING:
    from simulators.brunel.field import KernelSignal
    from simulators.fields.probes import Probe

_LARGEST_NEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class NestBrunel:
    """Simulator of a ``BrunelNetwork`` in NEST 3.10: spike counts of both populations, for theta = (J, g, eta).

    The seed of NEST is drawn from the generator that is handed over. The same seed gives the same spikes for the same
    number of ``threads``, and other spikes for another number. NEST's kernel is reset before and after: whatever else
    the process has built in NEST is lost. Raises ImportError with what to install where NEST is missing.
    """

    network: BrunelNetwork = field(default_factory=BrunelNetwork)
    parameters: ParameterSpace = FULL_RANGE
    threads: int = 1

    ranges: ClassVar = RANGES

    def __post_init__(self) -> None:
        if self.parameters.names != FULL_RANGE.names:
            raise ValueError(f"parameters are {self.parameters.names}; expected {FULL_RANGE.names}")
        if self.threads < 1:
            raise ValueError(f"threads = {self.threads}; NEST needs 1 or more")

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """Spike counts, (2, bins) of ``bin_ms``."""
        spikes = self.simulate_spikes(theta, rng)
        return self.network.count(spikes.times_ms, spikes.senders)

    def forward_model(self, probe: "Probe | None" = None) -> "KernelSignal":
        """What a probe sees of the network; by default six contacts (Skaar et al. 2020)."""
        from simulators.brunel.field import kernel_signal

        return kernel_signal(self.network, self.parameters, probe)

    def lasting(self, duration_s: float) -> "NestBrunel":
        """The same network simulated for another time after its transient. Raises ValueError as ``BrunelNetwork``."""
        return replace(self, network=self.network.lasting(duration_s))

    def simulate_spikes(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Spikes:
        """Every spike of the same simulation."""
        J, g, eta = self.parameters.check(theta)
        return nest_spikes(self.network, rng, self.threads, lambda nest: self._build(nest, J, g, eta))

    def _build(self, nest: Any, J: float, g: float, eta: float) -> Any:
        """Make neurons, connections and external input; returns the neurons."""
        network = self.network

        def drawn(mean: float, spread: float) -> Any:
            return nest.random.uniform(mean - spread, mean + spread) if spread else mean

        neurons = nest.Create(
            "iaf_psc_delta",
            network.n_excitatory + network.n_inhibitory,
            {
                "C_m": network.capacitance_pF,
                "tau_m": drawn(network.membrane_time_constant_ms, network.membrane_time_constant_spread_ms),
                "t_ref": drawn(network.refractory_ms, network.refractory_spread_ms),
                "E_L": 0.0,
                "V_th": drawn(network.threshold_mV, network.threshold_spread_mV),
                "V_reset": network.reset_mV,
                "V_m": nest.random.uniform(0.0, network.threshold_mV),
            },
        )
        # NEST rounds delays to time steps: half a step more on either side makes all of them equally likely.
        half_step = network.dt_ms / 2 - 1e-6 if network.delay_spread_ms else 0.0
        delay = drawn(network.delay_ms, network.delay_spread_ms + half_step)
        connect_populations(nest, neurons, network, (J, -g * J), delay)
        # A poisson_generator sends an independent train to each of its targets.
        external = nest.Create("poisson_generator", params={"rate": 1e3 * network.external_rate_per_ms(J, eta)})
        nest.Connect(external, neurons, syn_spec={"weight": J, "delay": network.delay_ms})
        return neurons


def nest_spikes(network: TwoPopulations, rng: np.random.Generator, threads: int, build: Callable[[Any], Any]) -> Spikes:
    """Simulate what ``build(nest)`` makes, whose neurons it returns. NEST's kernel is reset before and after."""
    nest = load_nest()
    try:
        nest.ResetKernel()
        nest.resolution = network.dt_ms
        nest.local_num_threads = threads
        nest.rng_seed = int(rng.integers(1, _LARGEST_NEST_SEED, endpoint=True))
        neurons = build(nest)
        recorder = nest.Create("spike_recorder")
        nest.Connect(neurons, recorder)
        nest.Simulate(network.duration_ms)
        times, senders = recorder.get("events", ("times", "senders")).values()
        first = neurons[0].global_id
    finally:
        nest.ResetKernel()
    order = np.lexsort((senders, times))
    return Spikes(times[order], senders[order].astype(np.int64) - first, network.populations)


def connect_populations(
    nest: Any, neurons: Any, network: TwoPopulations, weights: tuple[float, ...], delay: Any
) -> None:
    """Fixed in-degrees from each population, whose synapses have one of ``weights``."""
    for (population, (start, end)), weight, in_degree in zip(
        network.populations.items(), weights, network.in_degrees, strict=True
    ):
        # One weight for a whole population spares eight bytes a connection; it belongs to the synapse model.
        nest.CopyModel("static_synapse_hom_w", population, {"weight": weight})
        nest.Connect(
            neurons[start:end], neurons, {"rule": "fixed_indegree", "indegree": in_degree},
            {"synapse_model": population, "delay": delay},
        )  # fmt: skip


def load_nest() -> Any:
    """NEST, imported without its banner and told to print errors alone. Raises ImportError with what to install."""
    if "nest" not in sys.modules:
        with _silenced_terminal():
            try:
                importlib.import_module("nest")
            except ImportError as error:
                raise ImportError(
                    f"NestBrunel needs NEST 3.10 ({error}): install it with 'pip install nest-simulator==3.10.0' "
                    "or 'conda install -c conda-forge nest-simulator', or use CompiledBrunel, which needs no NEST"
                ) from error
    nest: Any = sys.modules["nest"]
    nest.verbosity = nest.VerbosityLevel.ERROR
    return nest


@contextmanager
def _silenced_terminal() -> Iterator[None]:
    """Send all output of the process nowhere: what Python writes to sys.stdout and what C++ writes past it."""
    flush_c = ctypes.CDLL(None).fflush
    sys.stdout.flush()
    sys.stderr.flush()
    flush_c(None)
    kept = [os.dup(1), os.dup(2)]
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        # Emptied now, or what C still holds would come out after all.
        flush_c(None)
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
