"""Synapses as NEURON's point processes."""

from collections.abc import Sequence
from typing import Any

from neuron import h

from simulators.cells.inputs import Synapse


def point_processes(segments: Sequence[Any], synapses: Sequence[Synapse]) -> list[Any]:
    """One point process for each synapse, at its segment."""
    return [_point_process(segment, synapse) for segment, synapse in zip(segments, synapses, strict=True)]


def _point_process(segment: Any, synapse: Synapse) -> Any:
    if synapse.magnesium_mM:
        from simulators.cells.mechanisms import load_own

        load_own()
        process = h.NMDASyn(segment)
        process.mg = synapse.magnesium_mM
    else:
        process = h.Exp2Syn(segment)
    process.tau1, process.tau2, process.e = synapse.rise_ms, synapse.decay_ms, synapse.reversal_mV
    return process
