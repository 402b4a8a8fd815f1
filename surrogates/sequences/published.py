"""The published models (Bunnapradist 2022): an LSTM is shown some steps and tells the next one.

Of all neurons, or of the sums over E and over I cells.
"""

import numpy as np
import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from surrogates.threads import one_thread


class NextStepLSTM(nn.Module):
    """One LSTM and a linear layer on its last state; series are standardised by what it was trained on.

    Raises ValueError for sizes below one.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, series: int, window: int = 10, hidden: int = 64) -> None:
        super().__init__()
        if min(series, window, hidden) < 1:
            raise ValueError(f"{series} series, a window of {window} steps and {hidden} units make no model")
        self.window = window
        self.memory = nn.LSTM(series, hidden, batch_first=True)
        self.next = nn.Linear(hidden, series)
        self.register_buffer("mean", torch.zeros(series))
        self.register_buffer("sd", torch.ones(series))

    def forward(self, windows: Float[Tensor, "rows window series"]) -> Float[Tensor, "rows series"]:
        """The next step of each, standardised."""
        return self.next(self.memory(windows)[0][:, -1])

    def train_on(
        self,
        values: Real[np.ndarray, "steps series"],
        passes: int = 10,
        batch: int = 32,
        rate: float = 1e-3,
        seed: int = 0,
    ) -> "NextStepLSTM":
        """By the mean squared error. Raises ValueError for no more steps than a window."""
        x = torch.as_tensor(np.asarray(values, np.float32))
        if len(x) <= self.window:
            raise ValueError(f"{len(x)} steps hold no window of {self.window} and what comes next")
        self.mean[:], self.sd[:] = x.mean(0), x.std(0).clamp(min=1e-3)
        x = (x - self.mean) / self.sd
        windows = x.unfold(0, self.window, 1)[:-1].transpose(1, 2)
        optimiser = torch.optim.Adam(self.parameters(), rate)
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for _ in range(passes):
                for rows in torch.randperm(len(windows)).split(batch):
                    optimiser.zero_grad()
                    (self(windows[rows]) - x[self.window :][rows]).square().mean().backward()
                    optimiser.step()
        return self.eval()

    @torch.no_grad()
    def predict(self, values: Real[np.ndarray, "steps series"]) -> Float[np.ndarray, "later series"]:
        """Each step after the first ``window``, from those before it."""
        x = (torch.as_tensor(np.asarray(values, np.float32)) - self.mean) / self.sd
        with one_thread():
            told = self(x.unfold(0, self.window, 1)[:-1].transpose(1, 2))
        return (told * self.sd + self.mean).numpy()
