"""What a recording has besides the circuit, drawn at random: for estimators that learn to see through it."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from simulators.recording import Recording
from surrogates.spectra.background import Background, coloured


@dataclass(frozen=True)
class Additions:
    """A background drawn from the prior of ``Background`` and rhythms from elsewhere, added to recordings.

    rhythms: at most; none: share of the recordings that get nothing; most: share of the power within ``band_hz`` that
    what is added makes at most, uniform below. Every channel gets noise of its own, of one spectrum. Raises ValueError
    for shares and a band that cannot be.
    """

    rhythms: int = 0
    none: float = 0.3
    most: float = 0.8
    band_hz: tuple[float, float] = (10.0, 200.0)

    def __post_init__(self) -> None:
        if not (0 <= self.none <= 1 and 0 < self.most < 1 and self.rhythms >= 0):
            raise ValueError(f"shares are {self.none} and {self.most}, rhythms {self.rhythms}; give shares below 1")
        if not 0 <= self.band_hz[0] < self.band_hz[1]:
            raise ValueError(f"there is no band {self.band_hz[0]:g} ... {self.band_hz[1]:g} Hz")

    def __call__(self, recording: Recording, rng: np.random.Generator) -> Recording:
        """The recording with what is drawn for it."""
        if rng.random() < self.none:
            return recording
        return self.added(recording, rng.uniform(0, self.most), rng)

    def added(
        self, recording: Recording, share: float, rng: np.random.Generator, exponent: float | None = None
    ) -> Recording:
        """With additions that make ``share`` of the power in the band; with a share of 1 they are all there is.

        exponent: of the background; drawn like the rest where None.
        """
        rhythms = int(rng.integers(self.rhythms + 1)) if self.rhythms else 0
        background = Background(rhythms)
        values = recording.values
        frequencies = np.fft.rfftfreq(values.shape[1], 1 / recording.sampling_rate)
        drawn = torch.as_tensor(background.draw(1, rng)[0]).float()
        if exponent is not None:
            drawn[1] = exponent
        density = background.density(drawn, torch.as_tensor(frequencies.clip(min=1.0)).float()).numpy()
        noise = coloured(density, values.shape, recording.sampling_rate, rng)
        if share >= 1:
            return recording.with_values(noise)
        inside = (frequencies >= self.band_hz[0]) & (frequencies <= self.band_hz[1])
        powers = [np.sum(np.abs(np.fft.rfft(x, axis=1)[:, inside]) ** 2) for x in (values, noise)]
        factor = np.sqrt(share / (1 - share) * powers[0] / powers[1])
        return recording.with_values(values + factor * noise)

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary, for JSON."""
        return asdict(self) | {"band_hz": list(self.band_hz)}
