"""Where a laminar probe measures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

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


POSTER_PROBE = LaminarProbe()
"""Six contacts from the surface to 500 um below it (Skaar et al. 2020)."""
