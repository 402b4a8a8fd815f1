"""A differentiable emulator: from a network's parameters to the cross-spectral matrix of its populations' activity."""

import hashlib
import math
import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Complex, Float
from rich.progress import track
from torch import Tensor, nn

from simulators.interface import ParameterSpace
from simulators.provenance import versions
from simulators.recording import Recording
from surrogates.headers import LARGEST_SEED, integer, number, parameter_space, shaped, text, texts
from surrogates.spectra.cholesky import (
    CholeskyNetwork,
    Entries,
    SpreadNetwork,
    cholesky,
    entrywise_wishart_loss,
    fit_spread,
    lower_triangular,
    whitened,
    wishart_loss,
    with_weights,
)
from surrogates.spectra.cross_spectrum import Bands, CrossSpectrum, cross_spectrum
from surrogates.threads import one_thread
from surrogates.weights import read_weights, write_weights

FORMAT = 1
_REMEDY = "train a new one"
_MOST_COMPONENTS = 8
_KEPT = 0.1  # of the simulations, which say how long the others teach
_FEWEST_KEPT = 20  # but no more than a quarter
_ENOUGH_KEPT = 200  # to learn how spectra that were not seen scatter
_LOOK = 200  # iterations from one look at those that are kept to the next
_PATIENCE = 2000  # iterations without a better look, or as many as half of those before
_AVERAGED = 0.998  # of the averaged weights stays in an iteration
_WARMING = 200  # iterations
_WIDEST = 100_000  # of a network in a file
_LONGEST_MS = 1e8  # of the recordings that it says to draw: a day


@dataclass(eq=False)
class SpectralEmulator:
    """theta -> cross-spectral matrix of the channels of a simulator's recordings, and how it varies between them.

    Trained with the likelihood of complex Wishart matrices (Whittle 1953). Spectra of a network vary more between
    recordings than those of a Gaussian process would, and together over the whole band: a network's activity waxes and
    wanes. The emulator describes that by a few ``components``, unit normal in every recording, whose effect falls
    with the root of its length: S = L M M^H L^H, with M of the components and L of theta.

    It is a Simulator as well: ``simulate`` draws a stationary Gaussian recording with these spectra.

    parameters: the box it answers in; bands: of frequencies; seed: of training; width: of the network; rank: of how
    many spectra it makes all others (0: of as many as there are numbers); iterations: of training at most, as a tenth
    of the simulations, kept apart, says when it has learned enough; duration_ms and transient_ms: of the recordings it
    draws; progress: show a bar.
    """

    parameters: ParameterSpace
    bands: Bands = field(default_factory=Bands)
    seed: int = 0
    width: int = 256
    rank: int = 40
    iterations: int = 20_000
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    duration_ms: float = 3000.0
    transient_ms: float = 150.0
    progress: bool = False
    channels: tuple[str, ...] = field(default=(), init=False)
    unit: str = field(default="", init=False)
    sampling_rate: float = field(default=math.nan, init=False)
    about: dict[str, Any] = field(default_factory=dict, init=False)

    def fit(self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: Sequence[Recording]) -> Self:
        """Learn from recordings simulated at ``theta``.

        Raises ValueError for theta outside the box, too few simulations, recordings that differ in channels, unit or
        rate, and recordings too short for their bands (each needs as many frequencies as there are channels).
        """
        self.parameters.check_simulations(theta, len(recordings))
        first = recordings[0]
        kinds = {(r.channels, r.unit, r.sampling_rate) for r in recordings}
        if len(kinds) > 1:
            raise ValueError(f"recordings differ in their channels, unit or rate: {sorted(map(str, kinds))[:2]}")
        spectra = [cross_spectrum(r, self.bands) for r in recordings]
        fewest = min(s.samples.min() for s in spectra)
        if fewest < len(first.channels):
            low, high = self.bands.edges[[0, -1]]
            raise ValueError(
                f"a band within {low:g} ... {high:g} Hz holds too few frequencies of the shortest recording; give "
                f"longer ones, or Bands of a greater width_hz (now {self.bands.width_hz:g}) or a lower high_hz"
            )
        self.channels, self.unit, self.sampling_rate = first.channels, first.unit, first.sampling_rate
        u = torch.as_tensor(self.parameters.to_unit(theta), dtype=torch.float32)
        factors = torch.stack([factor_of(s) for s in spectra])
        samples = torch.as_tensor(np.stack([s.samples for s in spectra]), dtype=torch.float32)
        means = torch.as_tensor(np.stack([r.steady.mean(1) for r in recordings]), dtype=torch.float32)
        self.about = {
            "simulations": len(u),
            "data_hash": hashlib.sha256(factors.numpy().tobytes() + u.numpy().tobytes()).hexdigest()[:16],
            "versions": versions(),
        }
        with one_thread():
            self._learn(u, factors, samples, means)
        return self

    def _learn(self, u: Tensor, factors: Tensor, samples: Tensor, means: Tensor) -> None:
        """Train on all but a few rows, as long as the spectra of these are emulated better and better.

        In many dimensions a network that learns for too long emulates the noise of the spectra it has seen.
        """
        torch.manual_seed(self.seed)
        net = CholeskyNetwork(u.shape[1], len(self.bands), len(self.channels), self.width, self.rank)
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(u), generator=generator)
        n_kept = max(round(_KEPT * len(u)), min(_FEWEST_KEPT, len(u) // 4), 1)
        kept, taught = order[:n_kept], order[n_kept:]
        net.learn_scale(factors[taught], means[taught])
        averaged = deepcopy(net)
        mean_scale, data = net.scale[-len(self.channels) :], Entries.of(factors)
        optimiser = torch.optim.AdamW(net.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=True)
        best, best_weights, best_at = math.inf, net.state_dict(), 0
        for i in track(range(self.iterations), "spectral emulator", disable=not self.progress, transient=True):
            optimiser.param_groups[0]["lr"] = self.learning_rate * min(1.0, (i + 1) / _WARMING)
            rows = taught[torch.randint(len(taught), (self.batch,), generator=generator)]
            optimiser.zero_grad()
            emulated, mean = net.entries(u[rows])
            loss = entrywise_wishart_loss(emulated, data.some(rows), samples[rows]).mean() / samples[0].sum()
            loss = loss + ((mean - means[rows]) / mean_scale).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            with torch.no_grad():
                share = max(1 - _AVERAGED, 1 / (i + 1))
                torch._foreach_lerp_(list(averaged.parameters()), list(net.parameters()), share)
            if (i + 1) % _LOOK and i + 1 < self.iterations:
                continue
            with torch.no_grad():
                emulated, _ = averaged.entries(u[kept])
                look = float(entrywise_wishart_loss(emulated, data.some(kept), samples[kept]).mean())
            if look < best:
                best, best_weights, best_at = look, deepcopy(averaged.state_dict()), i + 1
            if i + 1 - best_at >= max(_PATIENCE, best_at // 2):
                break
        net.load_state_dict(best_weights)
        self.about |= {"iterations": best_at, "kept_loss": best}
        self._net = net.half().float().eval()  # as it will be in a file
        average = (samples[..., None, None] * (factors @ factors.mH)).sum(0) / samples.sum(0)[:, None, None]
        self._constant = cholesky(average)
        self._learn_spread(u, factors, samples, kept if len(kept) >= _ENOUGH_KEPT else torch.arange(len(u)))

    def _learn_spread(self, u: Tensor, factors: Tensor, samples: Tensor, kept: Tensor) -> None:
        """How spectra scatter about the emulator's: dispersion, and what is left of it in few directions.

        Dispersion is that of the rows ``kept`` apart, where there are enough: it holds what the emulator gets wrong of
        spectra that it has not seen.

        Residuals are whitened and times the root of their samples: a Gaussian process gives each unit variance and none
        has to do with another. Components are those principal ones that exceed this, with eigenvalues corrected for
        their number (Baik & Silverstein 2006); how large they are may depend on theta.
        """
        with torch.no_grad():
            y = whitened(self._net(u)[0], factors)
        unseen, counted = y[kept], samples[kept]
        loss = partial(wishart_loss, torch.eye(y.shape[-1], dtype=y.dtype).expand_as(unseen), unseen)

        def wishart(spread: Tensor) -> Tensor:
            return loss(counted / self._bounded(spread, counted))

        self._dispersion = fit_spread(u[kept], torch.ones(1), wishart, self.seed)
        with torch.no_grad():
            kappa = self._bounded(self._dispersion(u), samples)
        flat = (residuals(y) * (samples / kappa).sqrt()[..., None]).flatten(1).double()
        flat = flat / flat.square().mean(1, keepdim=True).sqrt().clamp(min=1)  # a few wild rows shall not decide
        values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
        values, vectors = values.flip(0)[:_MOST_COMPONENTS], vectors.flip(1)[:, :_MOST_COMPONENTS]
        aspect = flat.shape[1] / len(flat)
        kept = values > (1 + aspect**0.5) ** 2 + 0.1
        shifted = values[kept] + 1 - aspect
        variances = (shifted + (shifted**2 - 4 * values[kept]).clamp(min=0).sqrt()) / 2
        projected = (flat @ vectors[:, kept]).float().square()

        def normal(spread: Tensor) -> Tensor:
            return ((1 + spread).log() + projected / (1 + spread)).sum(1) / 2

        first = (variances - 1).clamp(min=0.1).float()
        self._sizes = fit_spread(u, first, normal, self.seed) if len(first) else None
        self._components = vectors[:, kept].T.float().reshape(len(first), len(self.bands), len(self.channels) ** 2)
        self.about["component_variances"] = variances.tolist()

    def _bounded(self, dispersion: Tensor, samples: Tensor) -> Tensor:
        """At least a Gaussian process's, and never so large that a Wishart distribution loses its density."""
        return torch.minimum(1 + dispersion, samples.clamp(min=1) / (len(self.channels) + 0.5)).clamp(min=1)

    @property
    def n_components(self) -> int:
        """How many unit normals the spectra of one theta differ by."""
        self._check_trained()
        return len(self._components)

    def factors(
        self,
        u: Float[Tensor, "batch n_parameters"],
        components: Float[Tensor, "batch components"] | None = None,
        samples: Float[Tensor, "#batch bands"] | None = None,
    ) -> Complex[Tensor, "batch bands channels channels"]:
        """Cholesky factors of the cross-spectral matrices at u (unit cube), in unit^2/Hz (two-sided); differentiable.

        components: of a recording with ``samples`` effective samples a band; without them, the average spectra.
        """
        self._check_trained()
        factors = self._net(u)[0]
        if components is None or samples is None or self._sizes is None:
            return factors
        d = torch.einsum("bk,kfe->bfe", components * self._sizes(u).sqrt(), self._components)
        d = d / samples.clamp(min=1).sqrt()[..., None]
        n = len(self.channels)
        power, real, imaginary = d.split([n, n * (n - 1) // 2, n * (n - 1) // 2], -1)
        own = lower_triangular(torch.exp(power / 2), torch.complex(real, imaginary) / 2**0.5)
        return factors @ own

    def effective_samples(
        self, u: Float[Tensor, "batch n_parameters"], samples: Float[Tensor, " bands"]
    ) -> Float[Tensor, "batch bands"]:
        """How many samples of a Gaussian process ``samples`` of this network are worth at u, in each band."""
        return samples / self._bounded(self._dispersion(u), samples)

    def spectra(
        self, theta: Float[np.ndarray, "batch n_parameters"]
    ) -> Complex[np.ndarray, "batch bands channels channels"]:
        """Cross-spectral matrices at theta, in unit^2/Hz (two-sided)."""
        with torch.no_grad():
            factors = self.factors(torch.as_tensor(self.parameters.to_unit(theta), dtype=torch.float32))
        return (factors @ factors.mH).numpy()

    def score(
        self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: Sequence[Recording]
    ) -> dict[str, float]:
        """Mean negative log likelihood (nats a recording) of the emulator's average spectra, of recordings at theta.

        Beside it the same of a "constant" model, the mean of the training spectra, and of a "saturated" one, each
        recording's own spectra, which no model can beat.
        """
        data = [cross_spectrum(r, self.bands) for r in recordings]
        samples = torch.as_tensor(np.stack([s.samples for s in data]), dtype=torch.float32)
        own = torch.stack([factor_of(s) for s in data])
        u = torch.as_tensor(self.parameters.to_unit(theta), dtype=torch.float32)
        with torch.no_grad():
            models = {"emulator": self.factors(u), "constant": self._constant.expand_as(own), "saturated": own}
            return {name: float(wishart_loss(f, own, samples).mean()) for name, f in models.items()}

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """A recording of a stationary Gaussian process with the spectra at theta. Raises ValueError outside the box."""
        return self.simulate_batch(np.asarray(theta, dtype=float)[None], [rng])[0]

    @property
    def batch_size(self) -> int:
        """Simulations made at once."""
        return 64

    def simulate_batch(
        self, thetas: Float[np.ndarray, "batch n_parameters"], rngs: Sequence[np.random.Generator]
    ) -> list[Recording]:
        """One recording for each theta, by its spectral representation: filtered white noise, a bin of frequency each.

        Values are means plus fluctuations, real numbers even where the channels are counts.
        """
        self._check_trained()
        u = torch.as_tensor(self.parameters.to_unit(np.stack([self.parameters.check(t) for t in thetas]))).float()
        n = round(self.duration_ms * self.sampling_rate / 1e3)
        transient = round(self.transient_ms * self.sampling_rate / 1e3)
        white = torch.as_tensor(np.stack([r.standard_normal((2, n // 2 + 1, len(self.channels))) for r in rngs]))
        white = torch.complex(*white.float().unbind(1))[..., None] / 2**0.5
        components = torch.as_tensor(np.stack([r.standard_normal(self.n_components) for r in rngs])).float()
        independent = torch.as_tensor((n - transient) / self.sampling_rate * self.bands.widths).float()
        with torch.no_grad():
            samples = self.effective_samples(u, independent)
            factors = self.factors(u, components, samples)
            means = self._net(u)[1].numpy()
        frequencies = np.fft.rfftfreq(n, 1 / self.sampling_rate)
        place = np.interp(frequencies, self.bands.centres, np.arange(len(self.bands)))
        low = np.minimum(place.astype(int), len(self.bands) - 2)
        share = torch.as_tensor(place - low).float()[:, None, None]
        between = factors[:, low] * (1 - share) + factors[:, low + 1] * share
        transform = (between @ white)[..., 0].numpy() * np.sqrt(self.sampling_rate * n)
        transform[:, 0] = 0
        values = np.fft.irfft(transform, n, axis=1).transpose(0, 2, 1) + means[..., None]
        return [Recording(v, self.sampling_rate, self.unit, self.channels, transient) for v in values]

    def _check_trained(self) -> None:
        if not self.channels:
            raise ValueError("this SpectralEmulator is not trained yet; call fit, or load a trained one")

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Settings (JSON) and tensors from which ``restored`` rebuilds the trained emulator."""
        self._check_trained()
        tensors = {f"net.{k}": v.half() for k, v in self._net.state_dict().items()}
        for name, spread in (("dispersion", self._dispersion), ("sizes", self._sizes)):
            if spread is not None:
                tensors |= {f"{name}.{k}": v.half() for k, v in spread.state_dict().items()}
        tensors |= {"constant": torch.view_as_real(self._constant), "components": self._components}
        settings = {
            "parameters": self.parameters.to_json(),
            "bands": self.bands.to_json(),
            "seed": self.seed,
            "width": self.width,
            "rank": self.rank,
            "duration_ms": self.duration_ms,
            "transient_ms": self.transient_ms,
            "channels": list(self.channels),
            "unit": self.unit,
            "sampling_rate": self.sampling_rate,
            "about": self.about,
        }
        return settings, tensors

    @classmethod
    def restored(cls, settings: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        """The inverse of ``state``. Raises ValueError or RuntimeError where settings and tensors do not fit."""
        emulator = cls(
            parameter_space(settings, "parameters"),
            Bands(**settings["bands"]),
            seed=integer(settings, "seed", 0, LARGEST_SEED),
            width=integer(settings, "width", 1, _WIDEST),
            rank=integer({"rank": 0} | settings, "rank", 0, _WIDEST),
            duration_ms=number(settings, "duration_ms", 1e-3, _LONGEST_MS),
            transient_ms=number(settings, "transient_ms", 0.0, _LONGEST_MS),
        )
        emulator.channels, emulator.unit = texts(settings, "channels"), text(settings, "unit")
        emulator.sampling_rate, emulator.about = number(settings, "sampling_rate", 1e-3, 1e6), settings["about"]
        n, bands, channels = len(emulator.parameters), len(emulator.bands), len(emulator.channels)
        with torch.device("meta"):
            net = CholeskyNetwork(n, bands, channels, emulator.width, emulator.rank)
        emulator._net = with_weights(net, "net.", tensors)
        size = len(tensors["components"])
        if size > _MOST_COMPONENTS:
            raise ValueError(f"it has {size} components; expected {_MOST_COMPONENTS} or fewer")
        emulator._components = (
            shaped(tensors, "components", (size, bands, channels**2)) if size else tensors["components"]
        )
        emulator._dispersion = with_weights(SpreadNetwork(n, torch.ones(1)), "dispersion.", tensors)
        emulator._sizes = with_weights(SpreadNetwork(n, torch.ones(size)), "sizes.", tensors) if size else None
        constant = shaped(tensors, "constant", (bands, channels, channels, 2))
        emulator._constant = torch.view_as_complex(constant.contiguous())
        return emulator

    def save(self, path: str | os.PathLike) -> None:
        """Write one safetensors file whose JSON header holds everything but the weights."""
        settings, tensors = self.state()
        header = {"thing": "spectral emulator", "format": FORMAT, "about": self.about, "settings": settings}
        write_weights(path, header, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Open a saved emulator. Raises ValueError where it is no (whole) file of one."""
        header, tensors = read_weights(path, "spectral emulator", FORMAT, _REMEDY)
        try:
            return cls.restored(header["settings"], tensors)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"{path} does not fit together ({type(error).__name__}: {error}); {_REMEDY}") from error


def residuals(
    white: Complex[Tensor, "rows bands channels channels"],
) -> Float[Tensor, "rows bands entries"]:
    """From whitened Cholesky factors of spectra to real numbers, of mean 0 and variance 1 / samples if all is well."""
    rows, columns = np.tril_indices(white.shape[-1], -1)
    y = white @ white.mH
    below = 2**0.5 * y[..., rows, columns]
    return torch.cat([y.diagonal(dim1=-2, dim2=-1).real - 1, below.real, below.imag], -1)


def factor_of(spectrum: CrossSpectrum) -> Complex[Tensor, "bands channels channels"]:
    """Cholesky factors of measured cross-spectra; bands without samples get none (zeros).

    A thousandth of a millionth of the power is added on the diagonal: channels that copy each other leave no inverse.
    """
    values = torch.as_tensor(spectrum.values)
    ridge = 1e-9 * values.diagonal(dim1=-2, dim2=-1).real.mean(-1, keepdim=True).expand(-1, values.shape[-1])
    factors = cholesky(values + torch.diag_embed(ridge.to(values.dtype)))
    return torch.nan_to_num(factors, nan=0.0).to(torch.complex64)
