"""Trained surrogate neurons: files, the shipped ones, and the simulator that runs one in place of its cell."""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulators.cells.cell import Output
from simulators.cells.inputs import InputProtocol, PoissonSynapses, Synapse, SynapticEvents
from simulators.interface import ParameterSpace
from simulators.recording import Recording
from surrogates.neurons.architectures.published import ARCHITECTURES as PUBLISHED
from surrogates.neurons.architectures.stateful import StatefulNeuron
from surrogates.neurons.interface import NeuronSurrogate
from surrogates.weights import read_weights, write_weights

ARCHITECTURES: dict[str, type[NeuronSurrogate]] = {**PUBLISHED, "StatefulNeuron": StatefulNeuron}
_THING, _FORMAT = "surrogate neuron", 3
_REMEDY = "train one with 'circuitsbi surrogate train'"
_LARGEST, _DEEPEST = 10_000, 100  # number in the settings, and number of layers
_SHIPPED = Path(__file__).parents[1] / "shipped"


@dataclass(frozen=True)
class TrainedNeuron:
    """A trained network, and the synapses and outputs of the cell it stands for. about: what made it, as JSON."""

    network: NeuronSurrogate
    synapses: tuple[Synapse, ...]
    outputs: tuple[Output, ...]
    about: dict[str, Any]

    def respond(self, events: Sequence[SynapticEvents], duration_ms: float) -> list[Recording]:
        """What the cell does that receives these events, from rest; channels as ``CellSimulator`` has them.

        Raises ValueError for events at a synapse that the cell does not have, or a duration of no bin.
        """
        if not events:
            return []
        bin_ms = self.network.bin_ms
        frame = int(self.network.settings.get("frame", 1))
        bins = round(duration_ms / bin_ms)
        if bins < 1:
            raise ValueError(f"{duration_ms} ms hold no bin of {bin_ms} ms")
        whole = -(-bins // frame) * frame
        grids = np.stack([e.check(self.synapses).binned(len(self.synapses), whole, bin_ms) for e in events])
        response = self.network.respond(torch.from_numpy(grids))
        values = torch.cat([response.v[..., None], response.spikes[..., None], response.outputs], -1)
        names = ("V", "spikes", *(o.name for o in self.outputs))
        unit = ", ".join(("mV", "1", *(o.unit for o in self.outputs)))
        return [Recording(v.T.numpy(), 1e3 / bin_ms, unit, names) for v in values[:, :bins]]

    def save(self, path: str | os.PathLike) -> None:
        """Write one safetensors file whose JSON header holds everything but the weights, which are halved.

        Raises ValueError for weights that are no numbers of half precision.
        """
        halves = {name for name, _ in self.network.named_parameters()}
        tensors = {k: v.half() if k in halves else v for k, v in self.network.state_dict().items()}
        _finite(tensors)
        header = {
            "thing": _THING,
            "format": _FORMAT,
            "architecture": type(self.network).__name__,
            "settings": self.network.settings,
            "synapses": [asdict(s) for s in self.synapses],
            "outputs": [list(o) for o in self.outputs],
            "about": self.about,
        }
        write_weights(path, header, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Open a saved surrogate; no code in the file is run. Raises ValueError where it is no (whole) file of one."""
        header, tensors = read_weights(path, _THING, _FORMAT, _REMEDY)
        try:
            # Nothing is allocated before the tensors of the file have the sizes that its settings say.
            with torch.device("meta"):
                network = ARCHITECTURES[header["architecture"]](**_modest(header["settings"]))
            network.load_state_dict(_finite({k: v.float() for k, v in tensors.items()}), assign=True)
            network.requires_grad_(False)
            if not all(isinstance(s["name"], str) and isinstance(s["inhibitory"], bool) for s in header["synapses"]):
                raise ValueError("its synapses have names that are no text, or an inhibition that is not true or false")
            synapses = tuple(Synapse(**s) for s in header["synapses"])
            outputs = tuple(Output(*map(_text, o)) for o in header["outputs"])
            if (len(synapses), len(outputs)) != (network.synapses, network.outputs):
                raise ValueError(f"{len(synapses)} synapses and {len(outputs)} outputs for another network")
            constants = [[s.rise_ms, s.decay_ms, s.reversal_mV] for s in synapses]
            if network.settings.get("constants", constants) != constants:
                raise ValueError("its synapses are not those of the network")
            return cls(network.eval(), synapses, outputs, header["about"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ValueError(f"{path} does not fit together ({type(error).__name__}: {error}); {_REMEDY}") from error


def _finite(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors; raises ValueError if one is no number."""
    if wrong := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise ValueError(f"not finite: {', '.join(wrong)}")
    return tensors


def _modest(settings: Any, name: str = "a setting") -> Any:
    """The settings; raises ValueError if they would build something out of all proportion."""
    inner = settings.items() if isinstance(settings, dict) else ((name, x) for x in settings)
    if len(settings) > (_LARGEST if name == "constants" else _DEEPEST):
        raise ValueError(f"{name} is out of all proportion")
    for key, value in inner:
        if isinstance(value, list | dict):
            _modest(value, key)
        elif isinstance(value, int | float) and not abs(value) <= (_DEEPEST if "layers" in key else _LARGEST):
            raise ValueError(f"{key} is out of all proportion")
    return settings


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no name")
    return value


def load_neuron(name: str) -> TrainedNeuron:
    """A shipped surrogate by the name of its cell, or one from a file. Raises ValueError where there is neither."""
    path = neuron_file(name)
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load(path: Path, changed_ns: int) -> TrainedNeuron:
    return TrainedNeuron.load(path)


def neuron_file(name: str) -> Path:
    """The file of a surrogate, by the name of a shipped one or its path. Raises ValueError where there is none."""
    path = _SHIPPED / f"{name}.safetensors" if name in shipped_neurons() else Path(name)
    if not path.is_file():
        raise ValueError(f"there is no file {name}, and shipped are {', '.join(shipped_neurons())}; {_REMEDY}")
    return path


def shipped_neurons() -> list[str]:
    """Names of the cells whose trained surrogates come with the package."""
    return sorted(p.stem for p in _SHIPPED.glob("*.safetensors"))


@dataclass(frozen=True)
class SurrogateSimulator:
    """Simulator of a cell through its surrogate: what ``CellSimulator`` is for the cell itself.

    neuron: name of a shipped surrogate, or path of one; content: its file's hash, so that no campaign goes on with
    another one. Raises ValueError where there is none.
    """

    neuron: str
    protocol: InputProtocol = field(default_factory=PoissonSynapses)
    duration_ms: float = 1000.0
    batch_size: int = 100
    content: str = field(init=False)

    def __post_init__(self) -> None:
        if not (0 < self.duration_ms < math.inf and self.batch_size > 0):
            raise ValueError(f"{self.duration_ms} ms of {self.batch_size} cells at once; both must be above 0")
        object.__setattr__(self, "content", hashlib.sha256(neuron_file(self.neuron).read_bytes()).hexdigest())

    @property
    def parameters(self) -> ParameterSpace:
        """The parameter space of the inputs."""
        return self.protocol.parameters

    def events(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> SynapticEvents:
        """The events of the simulation with this theta and generator: those that the cell itself would get."""
        theta = self.parameters.check(theta)
        return self.protocol.draw(theta, load_neuron(self.neuron).synapses, self.duration_ms, rng)

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """Voltage (mV), spikes a bin and the cell's outputs, (channels, bins).

        Raises ValueError for a theta outside ``parameters``.
        """
        return self.simulate_batch(np.asarray(theta)[None], [rng])[0]

    def simulate_batch(
        self, thetas: Float[np.ndarray, "rows n_parameters"], rngs: Sequence[np.random.Generator]
    ) -> list[Recording]:
        """Many cells at once."""
        events = [self.events(theta, rng) for theta, rng in zip(thetas, rngs, strict=True)]
        return load_neuron(self.neuron).respond(events, self.duration_ms)
