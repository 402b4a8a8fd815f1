"""Ways to fit the column's gains to a band of frequencies: what ``fit_column.py`` compares.

All but hnn-core's own minimise the same losses in the column of surrogates, with about ``NETWORKS`` of them each.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from rich.console import Console

from inference.fitting.rounds import FitInRounds
from inference.fitting.targets import BandPower, Rate, Target, total_loss
from inference.workflows.column_rhythm import Wanted
from simulators.cells.hnn import CELL_TYPES
from simulators.column.connectivity import SHORT, ColumnModel
from simulators.column.simulator import ColumnSimulator
from simulators.interface import simulate_all
from surrogates.network.column import SurrogateColumn
from surrogates.network.differentiable import DifferentiableNetwork, gradient_trouble

console = Console()
BAND_HZ = (15.0, 60.0)
MODEL = ColumnModel()
COLUMN = ColumnSimulator(
    MODEL, free=MODEL.gains(-1.0, 1.0), record=("dipole", "spikes"), duration_ms=1200.0, transient_ms=200.0
)
BAND = BandPower(channel="dipole", band_hz=BAND_HZ)
ROUNDS = 6
NETWORKS = 2048 + ROUNDS * 256 + 4 * 64  # of the emulator in rounds
STEPS, COPIES, RATE = 25, 8, 0.1  # of the descent by back-propagation
AROUND = 256, 0.15  # networks and half width of a regression
GENERATION, TRIALS = 12, 8  # candidates of a generation of CMA-ES, networks of each
EVALUATIONS = 120  # of hnn-core's optimiser, one run in NEURON each: ten times as long as the emulator in rounds
_HOPELESS = 100.0  # loss of a column that does nothing


def targets() -> list[Target]:
    """Power in the band, and rates that cells can have; a little inside of what is asked for in the end."""
    return Wanted(BAND_HZ, rates_Hz=(1.0, 60.0)).targets(MODEL)


def losses(surrogate: SurrogateColumn, thetas: np.ndarray, copies: int, rng: np.random.Generator) -> np.ndarray:
    """Loss at each theta of the mean features of so many columns, each under a drive of its own."""
    wanted = targets()
    found = simulate_all(surrogate, np.repeat(thetas, copies, axis=0), rng.spawn(copies * len(thetas)))
    parts = [np.stack([target.features(r) for r in found]) for target in wanted]
    means = [torch.as_tensor(part.reshape(len(thetas), copies, -1).mean(1)) for part in parts]
    return np.nan_to_num(total_loss(wanted, means).numpy(), nan=_HOPELESS)


def by_rounds(surrogate: SurrogateColumn, seed: int, rounds: int = ROUNDS) -> np.ndarray:
    """An emulator that is taught again where its descent ended."""
    fit = FitInRounds(surrogate, targets(), rounds=rounds, seed=seed, progress=False)
    return fit.fit(lambda text: console.print(f"seed {seed}: {text}")).estimate.point


def at_once(surrogate: SurrogateColumn, seed: int) -> np.ndarray:
    """The same emulator taught once, by as many networks."""
    fit = FitInRounds(surrogate, targets(), first=NETWORKS - 2 * 256, rounds=1, seed=seed, progress=False)
    return fit.fit().estimate.point


def by_regression(surrogate: SurrogateColumn, seed: int) -> np.ndarray:
    """Adam along the slope of the losses of many columns around the point; the point whose columns did best."""
    rng, (n, width) = np.random.default_rng(seed), AROUND
    point = torch.tensor(rng.normal(0, 0.05, len(surrogate.parameters)), requires_grad=True)
    optimiser = torch.optim.Adam([point], lr=RATE)
    best, found = np.inf, point.detach().clone()
    for _ in range(NETWORKS // n):
        here = point.detach().numpy()
        offsets = rng.uniform(-width, width, (n, len(here)))
        offsets = np.clip(here + offsets, -1, 1) - here
        values = losses(surrogate, here + offsets, 1, rng).clip(max=np.log(_HOPELESS))
        design = np.column_stack([np.ones(n), offsets])
        coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
        if coefficients[0] < best:
            best, found = coefficients[0], point.detach().clone()
        point.grad = torch.as_tensor(coefficients[1:])
        optimiser.step()
        with torch.no_grad():
            point.clamp_(-1, 1)
    return found.numpy()


def by_cma(surrogate: SurrogateColumn, seed: int) -> np.ndarray:
    """CMA-ES (Hansen) over the box."""
    import cma

    rng = np.random.default_rng(seed)
    options = {"bounds": [-1, 1], "popsize": GENERATION, "seed": seed + 1, "verbose": -9}
    search = cma.CMAEvolutionStrategy(rng.normal(0, 0.05, len(surrogate.parameters)), 0.3, options)
    for _ in range(NETWORKS // (GENERATION * TRIALS)):
        asked = search.ask()
        search.tell(asked, losses(surrogate, np.array(asked), TRIALS, rng).tolist())
    return np.clip(search.result.xfavorite, -1, 1)


def by_gradient(surrogate: SurrogateColumn, seed: int) -> np.ndarray:
    """Adam on damped gradients through a few columns under drives of their own; the gains with the least loss."""
    network = DifferentiableNetwork(surrogate.circuit, COPIES, memory_gradient=0.7)
    names = list(surrogate.parameters.names)
    of_group = torch.tensor([names.index(pathway.pair) for pathway in MODEL.pathways])
    rng = np.random.default_rng(seed)
    gains = torch.tensor(rng.normal(0, 0.05, len(names)), dtype=torch.float32, requires_grad=True)
    optimiser = torch.optim.Adam([gains], lr=RATE)
    best, found = np.inf, gains.detach().clone()
    column = replace(surrogate.column, duration_ms=800.0)
    for step in range(STEPS):
        drives = [column.events(np.zeros(len(names)), generator) for generator in rng.spawn(COPIES)]
        factors = (10.0 ** gains[of_group]).expand(COPIES, -1)
        run = network.run(factors, drives, column.transient_ms + column.duration_ms)
        loss = differentiable_loss(run.summed.sum(1), run.spikes, column)
        if not torch.isfinite(loss):
            console.print(f"seed {seed}: the loss is no number in step {step}")
            break
        if loss < best:
            best, found = float(loss), gains.detach().clone()
        optimiser.zero_grad()
        loss.backward()
        if trouble := gradient_trouble(gains.grad, names, step):
            console.print(f"seed {seed}: {trouble}")
            break
        optimiser.step()
        with torch.no_grad():
            gains.clamp_(-1, 1)
    return found.numpy().astype(float)


def differentiable_loss(dipole: torch.Tensor, spikes: torch.Tensor, column: ColumnSimulator) -> torch.Tensor:
    """The targets' loss, differentiable from the traces on: a periodogram in place of Welch's."""
    skip = round(column.transient_ms / column.sample_ms)
    x = dipole[:, skip:]
    power = torch.fft.rfft((x - x.mean(1, keepdim=True)) * torch.hann_window(x.shape[1])).abs().square().mean(0)
    f = torch.fft.rfftfreq(x.shape[1], 1e-3 * column.sample_ms)
    inside = (f >= BAND.of_hz[0]) & (f < BAND.of_hz[1])
    within = (f >= BAND_HZ[0]) & (f < BAND_HZ[1])
    loss = -(power[within].sum() / power[inside].sum()).log()
    seconds = 1e-3 * column.sample_ms * (spikes.shape[2] - skip)
    for rate in (t for t in targets() if isinstance(t, Rate)):
        cells = MODEL.cells_of(next(t for t in CELL_TYPES if rate.channel.startswith(SHORT[t])))
        hz = spikes[:, cells, skip:].sum(2).mean() / seconds
        loss = loss + rate.loss((hz + 0.5).log()[None])
    return loss


def by_hnn_core(surrogate: SurrogateColumn, seed: int) -> np.ndarray:
    """hnn-core's Optimizer with its default solver, on hnn-core's own column; it knows the band, but no rates."""
    from hnn_core import calcium_model
    from hnn_core.optimization import Optimizer

    net = calcium_model(mesh_shape=(3, 3))
    weights = {"L2_basket": 1e-4, "L2_pyramidal": 3e-3, "L5_basket": 1e-4, "L5_pyramidal": 3e-3}
    drive = {"rate_constant": dict.fromkeys(weights, 120.0), "weights_ampa": weights, "location": "proximal"}
    net.add_poisson_drive("noise", **drive, event_seed=1000 * seed)
    names = surrogate.parameters.names

    def set_gains(net, params) -> None:
        for connection in net.connectivity:
            source, target = (SHORT.get(connection[end]) for end in ("src_type", "target_type"))
            if f"{source}_{target}" in params:
                connection["nc_dict"]["A_weight"] *= 10.0 ** params[f"{source}_{target}"]

    bounds = dict.fromkeys(names, (-1.0, 1.0))
    np.random.seed(seed)  # noqa: NPY002  (its solver draws from there)
    search = Optimizer(net, 1400.0, bounds, set_gains, obj_fun="maximize_psd", max_iter=EVALUATIONS)
    search.fit(f_bands=[BAND_HZ], relative_bandpower=1.0)
    return np.asarray(search.opt_params_, float)


METHODS: dict[str, Callable[[SurrogateColumn, int], np.ndarray]] = {
    "rounds": by_rounds,
    "wide": at_once,
    "gradient": by_gradient,
    "regression": by_regression,
    "cma": by_cma,
    "hnn_core": by_hnn_core,
}
