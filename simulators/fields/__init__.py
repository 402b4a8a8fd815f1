"""From spikes to extracellular potentials: probes, spike-to-signal kernels and the full hybrid scheme."""
