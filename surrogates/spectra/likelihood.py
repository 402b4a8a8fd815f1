"""The emulator seen through an instrument: the likelihood of an LFP or EEG, differentiable in theta."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from scipy.optimize import minimize
from torch import Tensor

from simulators.fields.following import FollowingView
from simulators.fields.linear import LinearView
from simulators.interface import ParameterSpace
from simulators.recording import Recording
from surrogates.spectra.background import Background, ChannelNoise, NoiseFloor, highest_peaks
from surrogates.spectra.cholesky import cholesky, cholesky_of_square, expected_wishart_loss, whitened, wishart_loss
from surrogates.spectra.cross_spectrum import CrossSpectrum, Transform, band_transform
from surrogates.spectra.emulator import SpectralEmulator, factor_of
from surrogates.spectra.following import FollowingTransfer
from surrogates.spectra.observed import ObservedSpectrum, directions_of

_TYPICAL = 32  # thetas
_TINY = 1e-30  # of the channels' squared unit
_LEVEL_HZ, _SHARE = 10.0, 0.2  # where a fit of a background starts: with this share of the power there
_STEP = 0.01  # of a variable, for the slopes of spectra


@dataclass(frozen=True, eq=False)
class SpectralModel:
    """p(recording | theta): spectra of the emulator, through a linear instrument or (``view`` None) as they are.

    gain: the recording's amplitude is unknown, a factor to be fitted. floor: the channels have independent noise, white
    and with a 1/f spectrum, whose densities are fitted; background: noise of any exponent, with a knee, instead, and so
    many ``rhythms`` that come from elsewhere. known: values of parameters that are not free. band_hz: the bands within
    count alone; None for all.

    The likelihood has free variables beside theta: the emulator's components, which are unit normal, then, as
    asked for, log gain, and those of ``NoiseFloor`` or ``Background``.
    """

    emulator: SpectralEmulator
    view: LinearView | FollowingView | None = None
    gain: bool = False
    floor: bool = False
    known: Mapping[str, float] = field(default_factory=dict)
    background: bool = False
    rhythms: int = 0
    band_hz: tuple[float, float] | None = None

    @property
    def noise(self) -> ChannelNoise | None:
        """What the channels have besides the circuit."""
        return Background(self.rhythms) if self.background else NoiseFloor() if self.floor else None

    @cached_property
    def parameters(self) -> ParameterSpace:
        """The emulator's parameters that are free."""
        whole = self.emulator.parameters
        return whole.without(self.known) if self.known else whole

    def whole(self, u: Float[Tensor, "batch n_parameters"]) -> Float[Tensor, "batch all"]:
        """All of the emulator's parameters in the unit cube, the known ones filled in."""
        space = self.emulator.parameters
        if not self.known:
            return u
        free = iter(u.unbind(-1))
        columns = []
        for p in space:
            value = (self.known[p.name] - p.low) / (p.high - p.low) if p.name in self.known else None
            columns.append(next(free) if value is None else u.new_full(u.shape[:-1], value))
        return torch.stack(columns, -1)

    @cached_property
    def following(self) -> FollowingTransfer | None:
        """The view in bands, where its kernels follow theta."""
        if not isinstance(self.view, FollowingView):
            return None
        return FollowingTransfer(self.view, self.emulator.parameters, tuple(self.emulator.bands.centres.tolist()))

    @property
    def counting(self) -> Bool[np.ndarray, " bands"]:
        """Which of the emulator's bands count."""
        bands = self.emulator.bands
        return np.ones(len(bands), dtype=bool) if self.band_hz is None else bands.within(*self.band_hz)

    @property
    def n_components(self) -> int:
        """How many the emulator has."""
        return self.emulator.n_components

    @property
    def n_nuisances(self) -> int:
        """How many the gain and the channels' noise take."""
        return self.gain + (self.noise.size if self.noise else 0)

    @property
    def nuisance_names(self) -> tuple[str, ...]:
        """``log_gain``, where the gain is unknown, and those of the channels' noise."""
        return (*(("log_gain",) if self.gain else ()), *(self.noise.names if self.noise else ()))

    @property
    def nuisance_priors(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of those with a normal prior of their own."""
        if not isinstance(self.noise, Background):
            return {}
        noise = self.noise
        return {name: prior for name in noise.names if (prior := noise.prior(name)) is not None}

    def observe(self, recording: Recording) -> ObservedSpectrum:
        """Reduce a recording of the view's channels (or of the emulator's, without a view).

        Raises ValueError for another number of channels or another unit, and as ``cross_spectrum``.
        """
        channels, unit = (
            (self.view.channels, self.view.unit) if self.view else (self.emulator.channels, self.emulator.unit)
        )
        if len(recording.channels) != len(channels) or (recording.unit != unit and not self.gain):
            raise ValueError(
                f"the recording has {len(recording.channels)} channels in {recording.unit}; this model sees "
                f"{len(channels)} in {unit} ({', '.join(channels)})"
            )
        transform = band_transform(recording, self.emulator.bands)
        n = len(channels)
        if not isinstance(self.view, LinearView):
            values = transform.values
            if self.following is not None:
                values = np.einsum("fcr,cf->rf", self.following.basis.numpy()[transform.band].conj(), values)
            noise = np.tile(np.eye(len(values), dtype=complex), (len(transform.samples), 1, 1))
            return self._reduced(transform, values, None, noise, np.zeros(len(transform.samples)), 0)
        directions = directions_of(self.view, transform.frequencies.tobytes(), self.noise is not None)
        values = np.einsum("frc,cf->rf", directions.inverse, transform.values)
        seen = np.einsum("fcr,rf->cf", directions.forward, values)
        rest = n - directions.inverse.shape[1]
        residual = transform.averaged(np.sum(np.abs(transform.values - seen) ** 2, 0)) / max(rest, 1)
        noise = transform.averaged(np.einsum("frc,fsc->frs", directions.inverse, directions.inverse.conj()))
        m = directions.mixing
        mixing = None if m is None else transform.averaged(np.einsum("fip,fjq->fijpq", m, m.conj()))
        return self._reduced(transform, values, mixing, noise, residual, rest)

    def unseen(self, recording: Recording, orders: Sequence[Sequence[int]]) -> Float[np.ndarray, " orders"]:
        """Share of the power in patterns over the channels that no source makes, with channels in each of ``orders``.

        That is noise, or the channels are not those of the view, or not in its order. Zero without a view, or where
        these patterns are not the same for all theta.
        """
        if not isinstance(self.view, LinearView):
            return np.zeros(len(orders))
        transform = band_transform(recording, self.emulator.bands)
        kept = self.counting[transform.band]
        values, frequencies = transform.values[:, kept], transform.frequencies[kept]
        directions = directions_of(self.view, frequencies.tobytes(), self.noise is not None)
        seen = np.einsum("fcr,frd->fcd", directions.forward, directions.inverse)
        total = np.sum(np.abs(values) ** 2)
        ordered = (values[list(order)] for order in orders)
        return np.array([np.sum(np.abs(v - np.einsum("fcd,df->cf", seen, v)) ** 2) / total for v in ordered])

    def _reduced(self, transform: Transform, values, mixing, noise, residual, rest) -> ObservedSpectrum:
        products = np.einsum("cf,df->fcd", values, values.conj())
        return ObservedSpectrum(
            factor_of(CrossSpectrum(transform.averaged(products), transform.samples)),
            torch.as_tensor(np.where(self.counting, transform.samples, 0)).float(),
            None if mixing is None else torch.as_tensor(mixing).to(torch.complex64),
            torch.as_tensor(noise).to(torch.complex64),
            torch.as_tensor(residual).float(),
            rest,
        )

    def loss(
        self,
        u: Float[Tensor, "batch n_parameters"],
        components: Float[Tensor, "batch components"],
        nuisances: Float[Tensor, "batch nuisances"],
        observed: ObservedSpectrum,
    ) -> Float[Tensor, " batch"]:
        """Negative log posterior density (nats, up to a constant), at u in the unit cube."""
        prior = components.square().sum(-1) / 2
        if self.noise and observed.residual_channels:
            density = self._floor(nuisances)
            ratio = observed.residual.clamp(min=_TINY) / density
            prior = prior + observed.residual_channels * (observed.samples * (ratio - ratio.log())).sum(-1)
        if self.noise:
            prior = prior + self.noise.penalty(nuisances[:, -self.noise.size :])
        factors = self.factors(u, components, nuisances, observed)
        return wishart_loss(factors, observed.factors, self._effective_samples(u, observed)) + prior

    def factors(
        self,
        u: Float[Tensor, "batch n_parameters"],
        components: Float[Tensor, "batch components"],
        nuisances: Float[Tensor, "batch nuisances"],
        observed: ObservedSpectrum,
    ) -> Complex[Tensor, "batch bands rank rank"]:
        """Cholesky factors of the expected cross-spectra along the directions of ``observed``."""
        factors = self._source_factors(u, components, nuisances, observed.samples)
        if self.following is not None:
            factors = cholesky_of_square(self.following(self._by_name(self.whole(u))) @ factors)
        if observed.mixing is None and not self.noise:
            return factors
        spectra = factors @ factors.mH
        if observed.mixing is not None:
            spectra = torch.einsum("fijpq,bfpq->bfij", observed.mixing, spectra)
        if self.noise:
            spectra = spectra + self._floor(nuisances)[..., None, None] * observed.noise
        return cholesky(spectra)

    def expected_loss(self, u: Float[Tensor, " n_parameters"], observed: ObservedSpectrum) -> float:
        """Mean of ``loss`` over recordings that the model makes at u."""
        with torch.no_grad():
            samples = self._effective_samples(u[None], observed)
            mean = expected_wishart_loss(observed.factors.shape[-1], samples)[0]
            if self.noise:
                free = observed.residual_channels * observed.samples
                each = torch.where(free > 0, free * (1 + free.log() - torch.digamma(free)), 0.0)
                mean = mean + each.sum()
            return float(mean)

    def information(
        self,
        u: Float[Tensor, " n_parameters"],
        nuisances: Float[Tensor, " nuisances"],
        observed: ObservedSpectrum,
        components: bool = True,
    ) -> Float[Tensor, "n_parameters n_parameters"]:
        """Fisher information about u, in the unit cube, of a recording reduced as ``observed`` was.

        That about all variables, with the components' unit normal prior, less what not knowing the others takes away.
        The inverse is the Cramer-Rao limit of the covariance of unbiased estimates. Noise floors are taken as known,
        backgrounds are not; without ``components`` so are these, as if recordings were of a Gaussian process.
        """
        n, size = len(self.parameters), self.n_components
        at = torch.cat([u, torch.zeros(size), nuisances])
        background = self.noise if isinstance(self.noise, Background) else None
        moved = n + size + self.gain + (background.size if background else 0)
        step = _STEP * torch.eye(len(at))[:moved]
        w = torch.cat([at[None], at + step, at - step])
        with torch.no_grad():
            all_factors = self.factors(w[:, :n], w[:, n : n + size], w[:, n + size :], observed)
        slopes = (all_factors[1 : moved + 1] - all_factors[moved + 1 :]) / (2 * _STEP)
        change = whitened(all_factors[:1].expand_as(slopes), slopes)
        with torch.no_grad():
            samples = self._effective_samples(u[None], observed)[0]
        change = (change + change.mH) * samples.sqrt()[:, None, None]
        full = torch.einsum("ifrs,jfrs->ij", change, change.conj()).real
        full[n : n + size, n : n + size] += torch.eye(size)
        if background:
            full[-background.size :, -background.size :] += background.precision()
        if not components:
            asked = [i for i in range(moved) if not n <= i < n + size]
            full = full[asked][:, asked]
        others = torch.linalg.solve(full[n:, n:], full[n:, :n]) if len(full) > n else full[n:, :n]
        return full[:n, :n] - full[:n, n:] @ others

    def _effective_samples(self, u: Float[Tensor, "batch n_parameters"], observed: ObservedSpectrum) -> Tensor:
        return self.emulator.effective_samples(self.whole(u), observed.samples)

    def _source_factors(self, u, components, nuisances, samples) -> Tensor:
        """Cholesky factors of the weighted sources' cross-spectra."""
        u = self.whole(u)
        factors = self.emulator.factors(u, components, self.emulator.effective_samples(u, samples))
        weights = torch.ones(len(u), factors.shape[-1])
        if self.view is not None:
            theta = self._by_name(u)
            each = [torch.as_tensor(w.of(theta), dtype=torch.float32) for w in self.view.weights]
            weights = torch.stack([w.expand(len(u)) for w in each], -1)  # one of no parameter is a number
        if self.gain:
            weights = weights * nuisances[:, :1].exp()
        return weights[:, None, :, None] * factors

    def _by_name(self, u: Float[Tensor, "batch all"]) -> dict[str, Float[Tensor, " batch"]]:
        """Values of all of the emulator's parameters."""
        space = self.emulator.parameters
        low, high = (torch.as_tensor(edge).float() for edge in (space.low, space.high))
        return dict(zip(space.names, (low + u * (high - low)).unbind(-1), strict=True))

    def noise_share(
        self, nuisances: Float[Tensor, " nuisances"], observed: ObservedSpectrum
    ) -> Float[np.ndarray, " bands"]:
        """Share of a recording's power that a fit puts down to the channels' own noise, in each band that it fills."""
        used = observed.samples > 0
        noise = self._floor(nuisances[None])[0] * observed.noise.diagonal(dim1=-2, dim2=-1).real.sum(-1)
        power = observed.factors.abs().square().sum((-1, -2))
        return (noise[used] / power[used].clamp(min=_TINY)).clamp(max=1).numpy()

    def noise_density(self, nuisances: Float[Tensor, " nuisances"]) -> Float[Tensor, " bands"]:
        """Of each channel's own noise, in unit^2/Hz (two-sided)."""
        return self._floor(nuisances[None])[0]

    def _floor(self, nuisances: Float[Tensor, "batch nuisances"]) -> Float[Tensor, "batch bands"]:
        """Noise density of each channel, in unit^2/Hz (two-sided)."""
        assert self.noise is not None
        return self.noise.density(
            nuisances[:, -self.noise.size :], torch.as_tensor(self.emulator.bands.centres).float()
        )

    def sd_range(self, theta: Float[np.ndarray, "thetas n_parameters"]) -> list[list[float]]:
        """Lowest and highest standard deviation of each channel within the bands, over some thetas."""
        bands = self.emulator.bands
        spectra = self.emulator.spectra(theta)
        power = np.einsum("tfkk->tfk", spectra).real
        if self.view is not None:
            by_name = dict(zip(self.parameters.names, theta.T, strict=True))
            weights = np.stack([np.broadcast_to(w.of(by_name), len(theta)) for w in self.view.weights], -1)
            weighted = spectra * weights[:, None, :, None] * weights[:, None, None]
            if isinstance(self.view, LinearView):
                seen = self.view.transfer(bands.centres)[None]
            elif self.following is not None:
                each = {name: torch.as_tensor(values).float() for name, values in by_name.items()}
                seen = self.following.full(each).numpy()
            power = np.einsum("tfck,tfkl,tfcl->tfc", seen, weighted, seen.conj(), optimize=True).real
        sd = np.sqrt(2 * (bands.widths[:, None] * power).sum(1))
        return [sd.min(0).tolist(), sd.max(0).tolist()]

    def first_nuisances(self, observed: ObservedSpectrum) -> Float[Tensor, " nuisances"]:
        """Where to start: the gain of a typical theta, and the noise in patterns over channels that no source makes.

        Where there are no such patterns, white noise of a hundredth of the power at the highest frequencies.
        """
        first: list[Any] = [self._typical_gain(observed)] if self.gain else []
        if isinstance(self.noise, Background):
            power = observed.factors.abs().square().sum((-1, -2)).numpy() / observed.factors.shape[-1]
            used = np.flatnonzero(observed.samples.numpy())
            centres = self.emulator.bands.centres[used]
            near = used[np.abs(centres - _LEVEL_HZ).argsort()[:5]]
            peaks = highest_peaks(power[used], centres, self.rhythms)
            return torch.tensor(first + self.noise.first(float(_SHARE * power[near].mean()), peaks)).float()
        if self.floor and observed.residual_channels:
            first += self._floor_of(observed)
        elif self.floor:
            power = observed.factors.abs().square().sum((-1, -2)).numpy() / observed.factors.shape[-1]
            used = np.flatnonzero(observed.samples.numpy())
            white = power[used[-10:]].mean() * 1e-2
            first += [np.log(white), np.log(white * self.emulator.bands.centres[used[0]])]
        return torch.tensor(first, dtype=torch.float32)

    def _typical_gain(self, observed: ObservedSpectrum) -> float:
        """Log gain that gives the recording the power that is typical of the range."""
        typical = replace(self, gain=False, floor=False, background=False)
        u = torch.rand(_TYPICAL, len(self.parameters), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            factors = typical.factors(u, torch.zeros(_TYPICAL, self.n_components), torch.zeros(_TYPICAL, 0), observed)
            powers = [
                (observed.samples * f.abs().square().sum((-1, -2))).sum(-1).log() for f in (factors, observed.factors)
            ]
        return float(powers[1] - powers[0].mean()) / 2

    def _floor_of(self, observed: ObservedSpectrum) -> list[float]:
        """Log densities of white and 1/f noise that make the unseen residual likeliest (Whittle)."""
        residual, samples = observed.residual.double().numpy(), observed.samples.double().numpy()
        scale = np.average(residual, weights=samples)

        def loss(logs: np.ndarray) -> float:
            density = np.exp(logs[0]) * (1 + np.exp(logs[1]) / self.emulator.bands.centres)
            each = observed.residual_channels * samples * (np.log(density) + residual / scale / density)
            return float(each.sum() + ((logs[1] - NoiseFloor.MEAN) / NoiseFloor.SD) ** 2 / 2)

        found = min((minimize(loss, [0.0, corner]) for corner in (0.0, 3.0, 6.0)), key=lambda one: one.fun)
        white = found.x[0] + np.log(scale)
        return [float(white), float(white + found.x[1])]
