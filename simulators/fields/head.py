"""From the current dipole of a patch of cortex to the scalp, through a head of four concentric spheres."""

import numpy as np
from jaxtyping import Float

from simulators.fields.probes import ScalpElectrodes

_UV_PER_MV = 1e3


def lead_field(electrodes: ScalpElectrodes) -> Float[np.ndarray, " channels"]:
    """Potential (uV) at each electrode of 1 nA um in the patch, pointing outward (Naess et al. 2017, by LFPykit).

    The patch lies at the top of the brain, the electrodes on one arc from there.
    """
    from lfpykit.eegmegcalc import FourSphereVolumeConductor

    angles = np.deg2rad(electrodes.angles_deg)
    scalp = electrodes.radii_um[-1]
    places = scalp * np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)], 1)
    head = FourSphereVolumeConductor(places, list(electrodes.radii_um), list(electrodes.sigmas_S_per_m))
    dipole = np.array([0.0, 0.0, electrodes.radii_um[0] + electrodes.dipole_depth_um])
    return _UV_PER_MV * head.get_transformation_matrix(dipole)[:, 2]
