"""Recordings of one channel, of every circuit that 'circuitsbi explain' lays a recording before."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inference.explaining.spectra import RATE_HZ, middle, one_channel
from inference.workflows.brunel import brunel_study
from inference.workflows.column import rhythmic_column
from inference.workflows.shipped import reference_campaign
from simulators.brunel_alpha.compiled_network import CompiledAlphaBrunel
from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign
from simulators.ei_circuit.model import EICircuit
from simulators.ei_circuit.simulator import CompiledEICircuit
from simulators.fields.probes import LaminarProbe
from simulators.firing_events.simulator import RingSimulator
from simulators.interface import ForwardModel, Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.network.column import SurrogateColumn

DEPTHS_UM = tuple(-50.0 * k for k in range(11))
_AT_ONCE = 250  # rows of a campaign that are decoded together
DEPTH = Parameter("depth", "um", DEPTHS_UM[-1], DEPTHS_UM[0], "of the contact below the surface")


class Simulations(NamedTuple):
    """parameters: of the circuit, and the depth of the contact where it has one; the last ``tested`` are kept apart."""

    parameters: ParameterSpace
    theta: np.ndarray
    recordings: list[Recording]
    tested: int


def at_a_depth(campaign: Campaign, model: ForwardModel, rows: np.ndarray, tested: int) -> Simulations:
    """Each simulation at one contact, drawn at random."""
    space = ParameterSpace((*campaign.parameters, DEPTH))
    places = np.random.default_rng(7).integers(len(DEPTHS_UM), size=len(campaign))
    theta, recordings, drawn = [], [], campaign.theta
    for some in np.array_split(rows, max(1, len(rows) // _AT_ONCE)):
        for row, source in zip(some, campaign.recordings(some), strict=True):
            recordings.append(seen(model.observe(source, drawn[row]), places[row]))
            theta.append([*drawn[row], DEPTHS_UM[places[row]]])
    return Simulations(space, np.array(theta), recordings, tested)


def seen(recording: Recording, channel: int) -> Recording:
    """What 'circuitsbi explain' looks at of one channel."""
    return middle(one_channel(recording, channel))


def brunel(name: str) -> Simulations:
    """The shipped campaign over a range, of which nothing was learned from the last 400."""
    campaign = reference_campaign(name)
    study = brunel_study(name, LaminarProbe(DEPTHS_UM))
    assert study.forward_model is not None
    return at_a_depth(campaign, study.forward_model, campaign.usable, 400)


def alpha(scratch: Path, n: int) -> Simulations:
    """The ten parameters, from the campaign in ``scratch``: three times as many, for as many more parameters."""
    campaign = Campaign(scratch / "networks.zarr")
    model = CompiledAlphaBrunel().forward_model(LaminarProbe(DEPTHS_UM))
    return at_a_depth(campaign, model, campaign.usable[: 3 * n], 400)


def ring(scratch: Path, n: int) -> Simulations:
    """Strength and ratio of connections, at some depth."""
    simulator = RingSimulator(3000.0, free=(Parameter("S", "1", 0.003, 0.05), Parameter("log_ratio", "1", -0.9, 0.9)))
    campaign = run_campaign(simulator, n, 31, scratch / "ring.zarr", workers=1)
    model = simulator.forward_model(LaminarProbe(DEPTHS_UM))
    assert model is not None
    return at_a_depth(campaign, model, campaign.usable, 400)


def ei_circuit(scratch: Path, n: int) -> Simulations:
    """Nine strengths and the noise of E, by the circuit's own proxy of an LFP."""
    free = (*EICircuit().free_strengths(), Parameter("E_noise_Hz", "Hz", 100.0, 300.0))
    simulator = CompiledEICircuit(free=free, record=("lfp",), duration_ms=3000.0)
    campaign = run_campaign(simulator, n, 32, scratch / "ei.zarr", workers=1)
    return without_depth(campaign, 0)


def column(scratch: Path, n: int) -> Simulations:
    """The gains of the column and its noise, from the dipole of all layers."""
    simulator = SurrogateColumn(rhythmic_column(3000.0))
    campaign = run_campaign(simulator, n, 33, scratch / "column.zarr", workers=1)
    return without_depth(campaign, 0)


def without_depth(campaign: Campaign, channel: int) -> Simulations:
    rows = campaign.usable
    recordings = [seen(r, channel) for r in campaign.recordings(rows)]
    moving = [k for k, r in enumerate(recordings) if r.values.std() > 0]
    return Simulations(campaign.parameters, campaign.theta[rows][moving], [recordings[k] for k in moving], 400)


def kept(path: Path, make: Callable[[], Simulations]) -> Simulations:
    """What was made before, from a file, or made and written."""
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            parameters = ParameterSpace.from_json(json.loads(str(stored["parameters"])))
            recordings = [Recording(v[None], RATE_HZ, "1", ("signal",)) for v in stored["values"].astype(float)]
            return Simulations(parameters, stored["theta"], recordings, int(stored["tested"]))
    made = make()
    values = np.stack([r.values[0] for r in made.recordings])
    # In one scale, for single precision: the gain is unknown anyway.
    values = (values / values.std(1, keepdims=True)).astype(np.float32)
    np.savez(
        path, theta=made.theta, values=values, tested=made.tested, parameters=json.dumps(made.parameters.to_json())
    )
    return kept(path, make)


def circuits(scratch: Path, n: int) -> dict[str, Callable[[], Simulations]]:
    """By name. Campaigns that do not ship are made in ``scratch``, or gone on with; all is kept there."""
    made: dict[str, Callable[[], Simulations]] = {
        "brunel-asynchronous": lambda: brunel("asynchronous"),
        "brunel-full": lambda: brunel("full"),
        "brunel-alpha": lambda: alpha(scratch, n),
        "ring": lambda: ring(scratch, n),
        "ei-circuit": lambda: ei_circuit(scratch, n),
        "column": lambda: column(scratch, n),
    }
    return {name: partial(kept, scratch / f"{name}_{n}.npz", make) for name, make in made.items()}
