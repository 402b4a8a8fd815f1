"""Spike-to-signal kernels of a network: one convolution a population gives the LFP or EEG of its spike counts.

The cells behind a kernel are passive and their synapses inject currents, so the potential is linear in the spikes. A
kernel is the potential that one presynaptic spike evokes through all its targets, averaged over where the targets and
their synapses lie. LFPykernels computes it in NEURON, once for each choice of probe, cells and network; the result is
kept on disk.
"""

import hashlib
import json
import os
import tempfile
import warnings
import zipfile
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulators.fields.cell_model import CellModel, neuron_session, template_cell
from simulators.fields.head import lead_field
from simulators.fields.linear import LinearView, Weight
from simulators.fields.network import PointNetwork
from simulators.fields.probes import LaminarProbe, Probe
from simulators.files import cache_folder

_DT_MS = 2.0**-4  # a power of two: LFPykernels counts steps by floor division
_KERNEL_MS = 100.0  # twenty synaptic and five membrane time constants
_DEPTH_SLABS = 10
_REVERSAL_MV = 1e9
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class SpikeKernels:
    """The potential evoked by one presynaptic spike, at synapses of 1 mV, through all its targets.

    values: (populations, channels, lags) in the probe's unit, for spikes of each population. Lag ``l`` is the mean
        potential of bin ``l`` after a spike that falls anywhere, with equal probability, in bin 0: so it must be
        convolved with counts in bins of ``bin_ms`` and gives the potential averaged over the same bins.
    """

    values: Float[np.ndarray, "populations channels lags"]
    bin_ms: float
    probe: Probe
    populations: tuple[str, ...]

    def view(self, weights: tuple[Weight, ...]) -> LinearView:
        """The probe's channels as sums over populations; weights (mV): of their synapses, one each."""
        return LinearView(
            self.values, 1e3 / self.bin_ms, self.probe.unit, self.probe.channels, self.populations, weights
        )


def kernels(probe: Probe, cells: CellModel, network: PointNetwork) -> SpikeKernels:
    """Kernels of a network's populations at a probe, from the cache or else computed (seconds).

    The cache is the folder named by the environment variable CIRCUITSBI_CACHE, else ~/.cache/circuitsbi. Computing
    uses NEURON: sections that other code left in this process are deleted.
    Raises ValueError where the bin is no multiple of 1/16 ms, or a layer with synapses holds no dendrite.
    """
    steps_per_bin = network.bin_ms / _DT_MS
    if steps_per_bin != round(steps_per_bin):
        raise ValueError(f"bin_ms = {network.bin_ms}; kernels need a multiple of {_DT_MS} ms, such as 1")
    recipe = json.dumps(_recipe(probe, cells, network), sort_keys=True)
    path = cache_folder() / f"lfp_kernels_{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.npz"
    values = _read(path, recipe)
    if values is None:
        values = bin_average(_fine_kernels(probe, cells, network), round(steps_per_bin))
        _write(path, recipe, values)
    return SpikeKernels(values, network.bin_ms, probe, tuple(network.populations))


def bin_average(fine: Float[np.ndarray, "*batch steps"], steps_per_bin: int) -> Float[np.ndarray, "*batch lags"]:
    """From the response to a spike at time 0 to that of a spike anywhere in bin 0, averaged over bins.

    Both averages together weight the response by a triangle, one bin to either side.
    """
    box = np.full(steps_per_bin, 1 / steps_per_bin)
    triangle = np.convolve(box, box)
    before = np.zeros((*fine.shape[:-1], steps_per_bin - 1))
    padded = np.concatenate([before, fine], -1)
    return np.lib.stride_tricks.sliding_window_view(padded, triangle.size, -1)[..., ::steps_per_bin, :] @ triangle


@dataclass(frozen=True)
class _Delays:
    """Equally likely conduction delays, in the form LFPykernels asks for: linear interpolation between two steps."""

    delays: tuple[float, ...]

    def pdf(self, t: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
        return np.mean([np.clip(1 - np.abs(t - delay) / _DT_MS, 0, None) for delay in self.delays], axis=0)


class _OneContact:
    """Contacts of a connected pair, in the form LFPykernels asks for: always one, since in-degrees count contacts."""

    def pmf(self, contacts: int) -> float:
        return float(contacts == 1)

    def mean(self) -> float:
        return 1.0


@dataclass(frozen=True)
class _Layer:
    """Synapses uniform over the membrane between two depths, seen by cells whose depths spread uniformly.

    ``scale`` is the standard deviation of that spread: LFPykernels adds the population's to the synapses' own.
    """

    low: float
    high: float
    scale: float = 0.0

    def pdf(self, x: Float[np.ndarray, " segments"]) -> Float[np.ndarray, " segments"]:
        """Fraction of the cells of which the segment at mean depth ``x`` lies in the layer."""
        half = self.scale * 3**0.5
        inside = np.minimum(x + half, self.high) - np.maximum(x - half, self.low)
        return np.clip(inside / (2 * half), 0, 1)


def _fine_kernels(probe: Probe, cells: CellModel, network: PointNetwork) -> Float[np.ndarray, "2 channels steps"]:
    """Kernels at ``_DT_MS``, summed over both target populations.

    Synapses are confined to layers that do not move with the soma. So each population is cut into slabs of soma depth,
    each of them represented by a cell at its middle: within a slab soma and synapses are nearly independent. Sideways
    the cells fill a disc a hundred times as wide as a contact, whose size therefore does not matter here.
    """
    low, high = cells.soma_depths_um
    thickness = (high - low) / _DEPTH_SLABS
    depths = low + thickness * (np.arange(_DEPTH_SLABS) + 0.5)
    sizes = {name: end - first for name, (first, end) in network.populations.items()}
    spread = thickness / 12**0.5
    with neuron_session() as folder:
        from lfpykernels import GaussCylinderPotential, KernelApproxCurrentDipoleMoment

        if isinstance(probe, LaminarProbe):
            sees = GaussCylinderPotential(None, probe.z, probe.sigma_S_per_m, R=cells.radius_um, sigma_z=spread)
        else:
            sees = KernelApproxCurrentDipoleMoment(None)
        seen = sum(
            _slab_kernels(sees, name, depth, spread, sizes[name] / _DEPTH_SLABS, cells, network, folder)
            for name in cells.morphologies
            for depth in depths
        )
    # Of the dipole only the vertical component is not zero on average.
    return seen if isinstance(probe, LaminarProbe) else seen[:, 2:] * lead_field(probe)[:, None]


def _slab_kernels(sees, target, depth, spread, n_targets, cells, network, folder):
    """Kernels of both presynaptic populations onto ``n_targets`` cells of one population and soma depth."""
    from lfpykernels import KernelApprox

    morphology = cells.morphologies[target]
    cell_arguments = template_cell(morphology, cells, folder)
    n_sources = np.array([end - first for first, end in network.populations.values()], float)
    each = len(n_sources)
    tau, weight = cells.synaptic_time_constant_ms, cells.synaptic_current_nA / _REVERSAL_MV
    approximation = KernelApprox(
        X=list(network.populations),
        Y=target,
        N_X=n_sources,
        N_Y=n_targets,
        C_YX=np.array(network.in_degrees) / n_sources,
        cellParameters=cell_arguments,
        populationParameters=dict(radius=cells.radius_um, loc=depth, scale=spread),
        rotationParameters={},
        multapseFunction=_OneContact,
        multapseParameters=[{}] * each,
        delayFunction=_Delays,
        delayParameters=[dict(delays=network.delays_ms)] * each,
        # Two equal time constants make an alpha function, and a reversal potential far away makes it a current:
        # NEURON has no alpha current of its own, and compiling one needs a compiler.
        synapseParameters=[dict(syntype="Exp2Syn", weight=weight, tau1=0.9999 * tau, tau2=tau, e=_REVERSAL_MV)] * each,
        synapsePositionArguments=[
            _synapses(cell_arguments, morphology.sections, fractions, cells.layers_um, depth, spread)
            for fractions in (morphology.excitation, morphology.inhibition)
        ],
        conductance_based=False,
    )
    time = dict(dt=_DT_MS, t_X=_KERNEL_MS, tau=_KERNEL_MS)
    responses = [approximation.get_kernel([sees], X=x, g_eff=False, **time) for x in network.populations]
    return np.stack([r[type(sees).__name__] for r in responses])[..., round(_KERNEL_MS / _DT_MS) :]


def _synapses(cell_arguments, sections, fractions, layers_um, depth, spread):
    """Where LFPykernels puts the synapses of a cell whose soma lies at ``depth``: per layer, uniform over membrane."""
    from LFPy import TemplateCell

    cell = TemplateCell(**cell_arguments, delete_sections=True)
    segments = cell.get_idx(list(sections))
    z, area = cell.z[segments].mean(-1) + depth, cell.area[segments]
    layers = [_Layer(low, high) for (low, high), fraction in zip(layers_um, fractions, strict=True) if fraction > 0]
    membrane = [area @ replace(layer, scale=spread).pdf(z) for layer in layers]
    if 0 in membrane:
        raise ValueError(
            f"a cell with its soma at {depth:g} um has no {' or '.join(sections)} in a layer of {layers_um} um that "
            f"gets synapses; change the layers, their fractions or the morphology"
        )
    return dict(
        section=list(sections),
        fun=[_Layer] * len(layers),
        funargs=[asdict(layer) for layer in layers],
        funweights=[fraction / m for fraction, m in zip([f for f in fractions if f > 0], membrane, strict=True)],
    )


def _recipe(probe: Probe, cells: CellModel, network: PointNetwork) -> dict[str, Any]:
    """Everything that the values of kernels depend on."""
    used = ("populations", "in_degrees", "delays_ms", "bin_ms")
    values = {name: getattr(network, name) for name in used}
    return dict(
        probe=probe.to_json(),
        cells=cells.to_json(),
        network=values,
        numerics=dict(dt_ms=_DT_MS, kernel_ms=_KERNEL_MS, depth_slabs=_DEPTH_SLABS, reversal_mV=_REVERSAL_MV),
        versions={name: version(name) for name in ("LFPykernels", "LFPy", "NEURON")},
    )


def _read(path: Path, recipe: str) -> np.ndarray | None:
    """Kernels from the cache; None where there are none, or where the file is damaged or made by another recipe."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored["values"] if str(stored["recipe"]) == recipe else None
    except _UNREADABLE:
        return None


def _write(path: Path, recipe: str, values: np.ndarray) -> None:
    """Into the cache in one step, so that no reader sees half a file; a cache that cannot be written only warns."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez(file, values=values, recipe=np.array(recipe))
        os.replace(file.name, path)
    except OSError as error:
        warnings.warn(f"kernels cannot be kept in {path.parent} ({error}); set CIRCUITSBI_CACHE", stacklevel=3)
