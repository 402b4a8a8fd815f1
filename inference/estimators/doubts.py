"""What a gradient fit's answer calls for doubt about, in words."""

from dataclasses import dataclass
from itertools import combinations

from jaxtyping import Float
from torch import Tensor

from simulators.recording import Recording
from surrogates.spectra.likelihood import SpectralModel
from surrogates.spectra.observed import ObservedSpectrum

_UNSEEN = 1e-6  # of the power; what a transform of finite length leaves of a simulation is a hundredth of it
_BETTER = 3.0  # times less power unseen: another order of channels is the right one
_MOSTLY = 0.5  # of a band's power
_MOST_NOISY = 0.33  # of the bands: none of one contact without noise, .33-.39 of one with 1 %, whose errors double
_MOST_SWAPPED = 16  # channels; of more, not every pair is tried


@dataclass(frozen=True, eq=False)
class Doubts:
    """Each is a warning or none. share: of the recording's power, in patterns over channels that no source makes."""

    model: SpectralModel
    data: ObservedSpectrum
    share: float

    @property
    def channels(self) -> int:
        """Of the recording."""
        return len((self.model.view or self.model.emulator).channels)

    def unexplained(self, misfit: float, worst: float) -> tuple[str, ...]:
        """Warnings of spectra that the model hardly makes."""
        if misfit <= worst:
            return ()
        if self.model.noise and self.data.residual_channels and self.share < _UNSEEN:
            return (
                f"the channels have hardly any noise of their own ({self.share:.1g} of the power), too little for its "
                f"spectrum to be fitted: estimate without it (leave --noise out)",
            )
        return (
            f"no parameters in the range explain this recording: at the best fit its spectra are {misfit:.3g} nats "
            f"less likely than the model's own, those of 99 % of simulations as long at most {worst:.3g}; do not trust "
            f"the estimate",
        )

    def taken_for_noise(self, nuisances: Float[Tensor, " nuisances"]) -> tuple[str, ...]:
        """A warning of noise that nothing but the spectrum itself tells from the network's activity.

        It explains whatever the network does not, so that no misfit is left to warn of. Several channels see noise as
        patterns that no source makes.
        """
        where = "" if self.data.residual_channels or not self.model.floor else self._mostly_noise(nuisances)
        if not where:
            return ()
        return (
            f"the fit puts {where} down to noise, and with {self.channels} channel(s) nothing but the "
            f"spectrum tells noise from activity: do not trust the estimate",
        )

    def mostly_background(self, nuisances: Float[Tensor, " nuisances"]) -> tuple[str, ...]:
        """A warning of a background that makes most of the power: what the circuit does is told by the rest."""
        where = self._mostly_noise(nuisances) if self.model.background else ""
        if not where:
            return ()
        return (
            f"the best fit puts {where} down to the background: the parameters rest on what is left, and their "
            f"intervals are as wide as that",
        )

    def _mostly_noise(self, nuisances: Float[Tensor, " nuisances"]) -> str:
        """In how much of the spectrum what the channels have besides makes most of the power; empty if in little."""
        mostly = self.model.noise_share(nuisances, self.data) > _MOSTLY
        if mostly.mean() <= _MOST_NOISY:
            return ""
        bands = self.model.emulator.bands.centres[self.data.samples.numpy() > 0][mostly]
        share = f"{100 * mostly.mean():.0f} %"
        return f"most of the power in {share} of the spectrum ({bands.min():.3g}-{bands.max():.3g} Hz)"

    def swapped(self, recording: Recording) -> tuple[str, ...]:
        """A warning where another order of the channels leaves much less power that no source makes."""
        orders = _other_orders(self.channels)
        if self.share < _UNSEEN or not orders:
            return ()
        shares = self.model.unseen(recording, orders)
        if shares.min() >= self.share / _BETTER:
            return ()
        names = ", ".join(recording.channels[i] for i in orders[int(shares.argmin())])
        return (
            f"{_no_source_makes(self.share)}, in the order {names} only {shares.min():.2g}: channels seem to be "
            f"swapped; reorder them, and do not trust the estimate before",
        )

    def own_noise(self) -> tuple[str, ...]:
        """A warning of noise that is not reckoned with."""
        if self.share < _UNSEEN or self.model.noise:
            return ()
        return (
            f"{_no_source_makes(self.share)}: they have noise of their own, or lie elsewhere than the probe's; fit the "
            f"noise along with 'circuitsbi infer --noise', or with_nuisances(floor=True)",
        )


def _no_source_makes(share: float) -> str:
    return f"{share:.2g} of the recording's power lies in patterns over its channels that no network makes"


def _other_orders(n: int) -> list[list[int]]:
    """The reverse, and, of few channels, any two swapped."""
    pairs = combinations(range(n if n <= _MOST_SWAPPED else 0), 2)
    swaps = ([b if i == a else a if i == b else i for i in range(n)] for a, b in pairs)
    return [list(range(n))[::-1], *swaps] if n > 1 else []
