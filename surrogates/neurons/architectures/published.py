"""The five architectures of Olah et al. 2022, which predict a bin from a window of the bins before it.

Their text leaves things open that their numbers of parameters settle: those hold for five input columns (V, two
currents, two synapses), three targets and a window of 64 bins that is flattened before the first dense layer.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from surrogates.neurons.architectures.standardised import StandardisedSurrogate, evaluating
from surrogates.neurons.architectures.tcn_lstm import TCNLSTM
from surrogates.neurons.interface import NeuronSurrogate, Response, Target

_ROWS_AT_ONCE = 4096
_FAR = 50.0
_Layer = TypeVar("_Layer", nn.Linear, nn.Conv1d)


class Past(NamedTuple):
    """What windows show of the bins before the first one, scaled: one row of events less than of targets."""

    targets: Float[Tensor, "runs window targets"]
    events: Float[Tensor, "runs earlier synapses"]


class WindowSurrogate(StandardisedSurrogate):
    """Base of the five: ``forward`` maps windows to guesses at the next bin's targets, and their mean is the answer.

    The window for bin t has the targets of bins t - window ... t - 1 beside the events of bins t - window + 1 ... t.
    windows_per_run: how many windows of each run one loss takes.
    """

    def __init__(
        self,
        synapses: int,
        outputs: int,
        bin_ms: float,
        *,
        window: int = 64,
        windows_per_run: int = 16,
        threshold_mV: float = -20.0,
        **settings: Any,
    ) -> None:
        shape = {"window": window, "windows_per_run": windows_per_run}
        super().__init__(synapses, outputs, bin_ms, threshold_mV=threshold_mV, **shape, **settings)
        if min(window, windows_per_run) < 1:
            raise ValueError(f"{windows_per_run} windows of {window} bins; there must be one or more of each")
        self.window, self.windows_per_run = window, windows_per_run
        self.columns = self.targets + synapses

    @abstractmethod
    def forward(self, windows: Float[Tensor, "rows window columns"]) -> Float[Tensor, "rows guesses targets"]:
        """Scaled guesses of the bin after each window."""

    def penalty(self) -> Tensor | float:
        """What the loss adds to the squared error."""
        return 0.0

    def loss(
        self,
        events: Float[Tensor, "runs bins synapses"],
        target: Target,
        state: Past | None,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], Past]:
        """Squared error of every guess at a bin after its true past, for bins at random."""
        past = state or self.begin(len(events))
        rows, wanted = self._rows(events, target, past), self.standardised(target)
        size = (len(events), self.windows_per_run, 1)
        bins = torch.randint(wanted.shape[1], size, generator=generator, device=generator.device).to(rows.device)
        runs = torch.arange(len(events), device=rows.device)[:, None, None]
        windows = rows[runs, bins + torch.arange(self.window, device=rows.device)]
        error = self(windows.flatten(0, 1)) - wanted[runs, bins].flatten(0, 1)
        return error.square().mean() + self.penalty(), self._last(rows, wanted)

    def one_step(self, events: Float[Tensor, "runs bins synapses"], target: Target) -> Response:
        """Every bin of runs that begin at rest, each predicted from its true past. No gradient."""
        with evaluating(self):
            rows = self._rows(events, target, self.begin(len(events)))
            windows = rows.unfold(1, self.window, 1).transpose(2, 3)
            y = [torch.cat([self(w).mean(1) for w in run.split(_ROWS_AT_ONCE)]) for run in windows]
            return self.response(torch.stack(y) * self.sd + self.mean)

    def begin(self, runs: int) -> Past:
        silence = self.rest.new_zeros(runs, self.window - 1, self.synapses)
        return Past(self.rest.expand(runs, self.window, -1), silence)

    def step(self, events: Float[Tensor, "runs synapses"], state: Past) -> tuple[Float[Tensor, "runs targets"], Past]:
        """As in the base class. A network that is unstable stays within 50 standard deviations."""
        seen = torch.cat([state.events, (events / self.event_scale)[:, None]], 1)
        y = self(torch.cat([state.targets, seen], 2)).mean(1).clamp(-_FAR, _FAR)
        return y * self.sd + self.mean, Past(torch.cat([state.targets[:, 1:], y[:, None]], 1), seen[:, 1:])

    def respond(self, events: Float[Tensor, "runs bins synapses"]) -> Response:
        """Run freely from rest, on its own predictions. No gradient."""
        with evaluating(self):
            state, y = self.begin(len(events)), []
            for now in events.unbind(1):
                targets, state = self.step(now, state)
                y.append(targets)
            return self.response(torch.stack(y, 1))

    def _rows(
        self, events: Float[Tensor, "runs bins synapses"], target: Target, past: Past
    ) -> Float[Tensor, "runs rows columns"]:
        """Rows t ... t + window - 1 are the window for bin t."""
        before = torch.cat([past.targets, self.standardised(target)[:, :-1]], 1)
        return torch.cat([before, torch.cat([past.events, events / self.event_scale], 1)], 2)

    def _last(self, rows: Float[Tensor, "runs rows columns"], wanted: Float[Tensor, "runs bins targets"]) -> Past:
        last = rows[:, rows.shape[1] - self.window + 1 :]
        return Past(torch.cat([last[..., : self.targets], wanted[:, -1:]], 1), last[..., self.targets :])


class _FlatWindow(WindowSurrogate):
    """Base of those whose layers are all dense."""

    network: nn.Sequential

    def _around(self, *between: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), _dense(self.window * self.columns, 64), *between, _dense(64, self.targets))

    def forward(self, windows: Float[Tensor, "rows window columns"]) -> Float[Tensor, "rows guesses targets"]:
        return self.network(windows)[:, None]


class LinearWindow(_FlatWindow):
    """Two linear layers with 64 units between them: 20,739 parameters."""

    def __init__(self, synapses: int, outputs: int, bin_ms: float, **settings: Any) -> None:
        super().__init__(synapses, outputs, bin_ms, **settings)
        self.network = self._around()


class NonlinearWindow(_FlatWindow):
    """The same with a sigmoid at the units."""

    def __init__(self, synapses: int, outputs: int, bin_ms: float, **settings: Any) -> None:
        super().__init__(synapses, outputs, bin_ms, **settings)
        self.network = self._around(nn.Sigmoid())


class DeepWindow(_FlatWindow):
    """Two linear layers with nine of tanh and dropout between them: 2,465,859 parameters."""

    def __init__(self, synapses: int, outputs: int, bin_ms: float, *, dropout: float = 0.15, **settings: Any) -> None:
        super().__init__(synapses, outputs, bin_ms, dropout=dropout, **settings)
        layers = pairwise((64, 128, 256, 512, 1024, 1024, 512, 256, 128, 64))
        self.network = self._around(
            *[part for n, m in layers for part in (_dense(n, m), nn.Tanh(), nn.Dropout(dropout))]
        )


class DilatedWindow(WindowSurrogate):
    """Causal convolutions of two bins, dilated by 1, 2, 4 ... 2,048: 363,651 parameters.

    Only the last bin of the last layer is read, so that of each layer half of what the next one dilates over is
    needed: strides of two give the same numbers. From a dilation of ``window`` on the further of the two bins is
    padding; those weights count, and are never used. The window must be a power of two, else ValueError.
    """

    def __init__(
        self, synapses: int, outputs: int, bin_ms: float, *, layers: int = 12, filters: int = 128, **settings: Any
    ) -> None:
        super().__init__(synapses, outputs, bin_ms, layers=layers, filters=filters, **settings)
        if self.window.bit_count() != 1 or self.window > 2**layers:
            raise ValueError(f"window is {self.window}; it must be a power of two that {layers} layers span")
        self.convolutions = nn.ModuleList(
            _initialised(nn.Conv1d(n, filters, 2, stride=2)) for n in (self.columns, *[filters] * (layers - 1))
        )
        self.last = _dense(filters, self.targets)

    def forward(self, windows: Float[Tensor, "rows window columns"]) -> Float[Tensor, "rows guesses targets"]:
        x = windows.transpose(1, 2)
        for convolution in self.convolutions:
            x = torch.tanh(convolution(x if x.shape[2] > 1 else F.pad(x, (1, 0))))
        return self.last(x.transpose(1, 2))


class CNNLSTM(WindowSurrogate):
    """Three convolutions over the window (1, 5 and 1 bins), LSTM, five dense layers: 1,834,381 parameters.

    The flattened window is given to the LSTM ``repeats`` times, and what follows guesses once at each of them: they
    learn one by one and are averaged, as in the published code. The 1.95e6 parameters of the text would take a second
    LSTM in place of the first dense layer. filters: of the convolutions; l1: weight of the sum of the first layer's
    absolute weights in the loss. For detailed cells: ``CNNLSTM(..., **DETAILED_CELL)``, 5,375,269 parameters with 200
    synapses.
    """

    def __init__(
        self,
        synapses: int,
        outputs: int,
        bin_ms: float,
        *,
        filters: Sequence[int] = (128, 100, 50),
        lstm_layers: int = 1,
        repeats: int = 5,
        l1: float = 0.0,
        dropout: float = 0.15,
        **settings: Any,
    ) -> None:
        super().__init__(
            synapses,
            outputs,
            bin_ms,
            filters=list(filters),
            lstm_layers=lstm_layers,
            repeats=repeats,
            l1=l1,
            dropout=dropout,
            **settings,
        )
        if repeats < 1:
            raise ValueError(f"the window is given {repeats} times; once is the least")
        self.repeats, self.l1 = repeats, l1
        first, second, third = filters
        self.first = _initialised(nn.Conv1d(self.columns, first, 1), _he)
        self.convolutions = nn.Sequential(
            self.first,
            nn.ReLU(),
            nn.ConstantPad1d((4, 0), 0.0),
            _initialised(nn.Conv1d(first, second, 5), _he),
            nn.ReLU(),
            _initialised(nn.Conv1d(second, third, 1)),
            nn.Tanh(),
            nn.Flatten(),
        )
        self.lstms = nn.ModuleList(_LSTM(n, 128) for n in (third * self.window, *[128] * (lstm_layers - 1)))
        selus = [(_dense(n, 100, _lecun), nn.SELU(), nn.Dropout(dropout)) for n in (128, 100, 100, 100)]
        self.dense = nn.Sequential(
            _dense(128, 128, _he), nn.ReLU(), *[part for layer in selus for part in layer], _dense(100, self.targets)
        )

    def forward(self, windows: Float[Tensor, "rows window columns"]) -> Float[Tensor, "rows guesses targets"]:
        x = self.convolutions(windows.transpose(1, 2))[:, None]
        for lstm in self.lstms:
            x = lstm(x, self.repeats)
        return self.dense(x)

    def penalty(self) -> Tensor | float:
        return self.l1 * self.first.weight.abs().sum() if self.l1 else 0.0


class _LSTM(nn.Module):
    """An LSTM that projects an input which is the same at every step only once.

    One bias and initial values as in Keras: Glorot-uniform, orthogonal between steps, forget gates open.
    """

    def __init__(self, n: int, units: int) -> None:
        super().__init__()
        self.input = _dense(n, 4 * units)
        self.recurrent = nn.Linear(units, 4 * units, bias=False)
        nn.init.orthogonal_(self.recurrent.weight)
        nn.init.ones_(self.input.bias[units : 2 * units])

    def forward(self, x: Float[Tensor, "rows given n"], steps: int) -> Float[Tensor, "rows steps units"]:
        projected = self.input(x).expand(-1, steps, -1)
        h = c = x.new_zeros(len(x), self.recurrent.in_features)
        states = []
        for given in projected.unbind(1):
            i, f, g, o = (given + self.recurrent(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return torch.stack(states, 1)


def _glorot(weight: Tensor) -> Tensor:
    return nn.init.xavier_uniform_(weight)


def _he(weight: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(weight, nonlinearity="relu")


def _lecun(weight: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(weight, nonlinearity="linear")


def _initialised(layer: _Layer, scheme: Callable[[Tensor], Tensor] = _glorot) -> _Layer:
    scheme(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _dense(n: int, m: int, scheme: Callable[[Tensor], Tensor] = _glorot) -> nn.Linear:
    return _initialised(nn.Linear(n, m), scheme)


DETAILED_CELL: dict[str, Any] = {"filters": [512, 256, 128], "lstm_layers": 3, "l1": 1e-5, "dropout": 0.0}

ARCHITECTURES: dict[str, type[NeuronSurrogate]] = {
    kind.__name__: kind for kind in (LinearWindow, NonlinearWindow, DeepWindow, DilatedWindow, CNNLSTM, TCNLSTM)
}
