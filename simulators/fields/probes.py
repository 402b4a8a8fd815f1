"""Where one measures: a laminar probe in the tissue, or electrodes on the scalp."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class LaminarProbe:
    """Contacts on the vertical axis (x = y = 0) of the cell population. Defaults: Skaar et al. 2020.

    depths_um: depth of each contact, negative below the surface.
    sigma_S_per_m: conductivity of the tissue.
    contact_radius_um: radius of a contact, over which the potential is averaged.

    Raises ValueError where a value is not finite, a depth occurs twice or there is none.
    """

    depths_um: tuple[float, ...] = (0.0, -100.0, -200.0, -300.0, -400.0, -500.0)
    sigma_S_per_m: float = 0.3
    contact_radius_um: float = 5.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "depths_um", tuple(float(depth) for depth in self.depths_um))
        if not self.depths_um:
            raise ValueError("a probe has no contact; give at least one depth in um")
        if not np.isfinite(self.depths_um).all():
            raise ValueError(f"contact depths {self.depths_um} um must be finite numbers")
        if len(set(self.depths_um)) != len(self.depths_um):
            raise ValueError(f"contact depths {self.depths_um} um must be distinct; name each contact once")
        for name in ("sigma_S_per_m", "contact_radius_um"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} = {value}; it must be a positive number")

    unit: ClassVar[str] = "mV"

    @property
    def channels(self) -> tuple[str, ...]:
        """One name a contact, such as ``z = -100 um``."""
        return tuple(f"z = {depth:g} um" for depth in self.depths_um)

    @property
    def z(self) -> Float[np.ndarray, " channels"]:
        """The depths as an array, in um."""
        return np.array(self.depths_um)

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary, for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, probe: Mapping[str, Any]) -> "LaminarProbe":
        """The inverse of ``to_json``."""
        return cls(tuple(probe["depths_um"]), probe["sigma_S_per_m"], probe["contact_radius_um"])


@dataclass(frozen=True)
class ScalpElectrodes:
    """EEG electrodes over a patch of cortex at the top of a head of four spheres. Defaults: Naess et al. 2017.

    angles_deg: of each electrode from the axis through the patch, seen from the head's centre.
    dipole_depth_um: of the patch's current dipole, negative below the brain's surface.
    radii_um, sigmas_S_per_m: outer radius and conductivity of brain, cerebrospinal fluid, skull and scalp.

    All electrodes see the same dipole, so a second one shows nothing that the first does not. Raises ValueError where a
    value is not finite, an angle occurs twice or there is none, or the spheres do not lie in each other.
    """

    angles_deg: tuple[float, ...] = (0.0,)
    dipole_depth_um: float = -200.0
    radii_um: tuple[float, float, float, float] = (79_000.0, 80_000.0, 85_000.0, 90_000.0)
    sigmas_S_per_m: tuple[float, float, float, float] = (0.3, 1.5, 0.015, 0.3)

    def __post_init__(self) -> None:
        for name in ("angles_deg", "radii_um", "sigmas_S_per_m"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if not self.angles_deg:
            raise ValueError("there is no electrode; give at least one angle in degrees")
        if not all(0 <= angle <= 180 for angle in self.angles_deg) or len(set(self.angles_deg)) != len(self.angles_deg):
            raise ValueError(f"electrode angles {self.angles_deg} must be distinct numbers of 0 ... 180 degrees")
        if len(self.radii_um) != 4 or not all(0 < a < b < np.inf for a, b in pairwise(self.radii_um)):
            raise ValueError(f"radii {self.radii_um} um must be four positive numbers, each larger than the one before")
        if len(self.sigmas_S_per_m) != 4 or not all(0 < sigma < np.inf for sigma in self.sigmas_S_per_m):
            raise ValueError(f"conductivities {self.sigmas_S_per_m} S/m must be four positive numbers")
        if not -self.radii_um[0] < self.dipole_depth_um < 0:
            raise ValueError(f"a dipole at {self.dipole_depth_um} um does not lie in the brain; give a negative depth")

    unit: ClassVar[str] = "uV"

    @property
    def channels(self) -> tuple[str, ...]:
        """One name an electrode, such as ``30 deg``."""
        return tuple(f"{angle:g} deg" for angle in self.angles_deg)

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary, for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, electrodes: Mapping[str, Any]) -> "ScalpElectrodes":
        """The inverse of ``to_json``."""
        shapes = tuple(electrodes["radii_um"]), tuple(electrodes["sigmas_S_per_m"])
        return cls(tuple(electrodes["angles_deg"]), electrodes["dipole_depth_um"], *shapes)


Probe = LaminarProbe | ScalpElectrodes


def probe_from_json(probe: Mapping[str, Any]) -> Probe:
    """The inverse of a probe's ``to_json``."""
    return LaminarProbe.from_json(probe) if "depths_um" in probe else ScalpElectrodes.from_json(probe)


SKAAR_PROBE = LaminarProbe()
"""Six contacts from the surface to 500 um below it (Skaar et al. 2020)."""

_LAMINAR = {"depths": "depths_um", "sigma": "sigma_S_per_m", "radius": "contact_radius_um"}
_SCALP = {"angles": "angles_deg", "depth": "dipole_depth_um"}


def parse_probe(text: str) -> Probe:
    """A LaminarProbe from ``depths=0,-100;sigma=0.3;radius=5``, ScalpElectrodes from ``angles=0,30;depth=-200``.

    Raises ValueError saying what is wrong.
    """
    parts = [part.strip().partition("=") for part in text.split(";")]
    on_scalp = parts[0][0] in _SCALP
    names = _SCALP if on_scalp else _LAMINAR
    fields: dict[str, Any] = {}
    try:
        for key, _, value in parts:
            if key not in names:
                raise ValueError(f"'{key}' is not one of {', '.join(names)}")
            numbers = tuple(float(number) for number in value.split(","))
            if key in ("depths", "angles"):
                fields[names[key]] = numbers
            elif len(numbers) == 1:
                fields[names[key]] = numbers[0]
            else:
                raise ValueError(f"'{key}' is one number")
        return ScalpElectrodes(**fields) if on_scalp else LaminarProbe(**fields)
    except ValueError as error:
        raise ValueError(
            f"cannot read the probe '{text}': {error}; write it as 'depths=0,-100,-200' (um) or 'angles=0' (degrees)"
        ) from error
