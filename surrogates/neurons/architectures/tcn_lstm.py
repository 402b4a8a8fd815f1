"""The surrogate neuron of the connectivity poster (Tolley & Jones): convolutions and LSTMs that see events alone."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from surrogates.neurons.architectures.standardised import StandardisedSurrogate, evaluating
from surrogates.neurons.interface import Response, Target

_PAST = 10_000  # bins


class Memory(NamedTuple):
    """All a neuron remembers. seen: what each convolution needs of the bins before; h, c: of the LSTMs."""

    seen: tuple[Float[Tensor, "runs channels bins"], ...]
    h: Float[Tensor, "layers runs hidden"]
    c: Float[Tensor, "layers runs hidden"]


class TCNLSTM(StandardisedSurrogate):
    """Temporal blocks, dense tanh layers, LSTMs, dense tanh layers: 238,050 parameters with 34 synapses and one output.

    channels and kernel: of the two convolutions in each temporal block, dilated by one of ``dilations``; three dense
    layers of ``units`` before and after the LSTMs. Raises ValueError where a convolution reaches back too far.
    """

    def __init__(
        self,
        synapses: int,
        outputs: int,
        bin_ms: float,
        *,
        channels: int = 32,
        kernel: int = 20,
        dilations: Sequence[int] = (1, 2, 4),
        units: int = 128,
        hidden: int = 32,
        lstm_layers: int = 3,
        dropout: float = 0.2,
        threshold_mV: float = -20.0,
    ) -> None:
        if min(kernel, *dilations) < 1 or (kernel - 1) * max(dilations) > _PAST:
            raise ValueError(f"{kernel} taps {dilations} bins apart; they need 1, and remember {_PAST} at most")
        super().__init__(
            synapses,
            outputs,
            bin_ms,
            threshold_mV=threshold_mV,
            channels=channels,
            kernel=kernel,
            dilations=list(dilations),
            units=units,
            hidden=hidden,
            lstm_layers=lstm_layers,
            dropout=dropout,
        )
        widths = (synapses, *[channels] * (len(dilations) - 1))
        self.blocks = nn.ModuleList(
            _TemporalBlock(n, channels, kernel, dilation, dropout)
            for n, dilation in zip(widths, dilations, strict=True)
        )
        pasts = [(kernel - 1) * dilation for dilation in dilations]
        self.remembers = [size for n, past in zip(widths, pasts, strict=True) for size in ((n, past), (channels, past))]
        self.before = _tanh_layers(channels, units, 3)
        self.lstm = nn.LSTM(units, hidden, lstm_layers, batch_first=True)
        self.after = nn.Sequential(*_tanh_layers(hidden, units, 3), nn.Linear(units, self.targets))

    def begin(self, runs: int) -> Memory:
        new = self.mean.new_zeros
        seen = tuple(new(runs, n, past) for n, past in self.remembers)
        size = (self.lstm.num_layers, runs, self.lstm.hidden_size)
        return Memory(seen, new(size), new(size))

    def forward(
        self, events: Float[Tensor, "runs bins synapses"], memory: Memory
    ) -> tuple[Float[Tensor, "runs bins targets"], Memory]:
        """Scaled targets of any number of further bins, and what is then remembered."""
        x = (events / self.event_scale).transpose(1, 2)
        seen: list[Tensor] = []
        for block in self.blocks:
            x, *more = block(x, *memory.seen[len(seen) : len(seen) + 2])
            seen += more
        x, (h, c) = self.lstm(self.before(x.transpose(1, 2)), (memory.h, memory.c))
        return self.after(x), Memory(tuple(seen), h, c)

    def step(
        self, events: Float[Tensor, "runs synapses"], state: Memory
    ) -> tuple[Float[Tensor, "runs targets"], Memory]:
        y, state = self(events[:, None], state)
        return y[:, 0] * self.sd + self.mean, state

    def loss(
        self,
        events: Float[Tensor, "runs bins synapses"],
        target: Target,
        state: Memory | None,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], Memory]:
        """Squared error of the scaled targets over the whole stretch; dropout draws from torch's global generator."""
        y, (seen, h, c) = self(events, state or self.begin(len(events)))
        memory = Memory(tuple(part.detach() for part in seen), h.detach(), c.detach())
        return (y - self.standardised(target)).square().mean(), memory

    def respond(self, events: Float[Tensor, "runs bins synapses"]) -> Response:
        """Run freely from rest, all bins at once. No gradient."""
        with evaluating(self):
            y, _ = self(events, self.begin(len(events)))
            return self.response(y * self.sd + self.mean)


class _TemporalBlock(nn.Module):
    """Two causal convolutions beside a direct path (Bai, Kolter and Koltun 2018)."""

    def __init__(self, n: int, channels: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.first = weight_norm(nn.Conv1d(n, channels, kernel, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(channels, channels, kernel, dilation=dilation))
        self.direct = nn.Conv1d(n, channels, 1) if n != channels else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "runs n bins"],
        before_first: Float[Tensor, "runs n past"],
        before_second: Float[Tensor, "runs channels past"],
    ) -> tuple[Float[Tensor, "runs channels bins"], Float[Tensor, "runs n past"], Float[Tensor, "runs channels past"]]:
        bins = x.shape[2]
        first = torch.cat([before_first, x], 2)
        second = torch.cat([before_second, self.dropout(torch.relu(self.first(first)))], 2)
        y = self.dropout(torch.relu(self.second(second)))
        return torch.relu(y + self.direct(x)), first[:, :, bins:], second[:, :, bins:]


def _tanh_layers(n: int, units: int, layers: int) -> nn.Sequential:
    widths = (n, *[units] * layers)
    return nn.Sequential(*(part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.Tanh())))
