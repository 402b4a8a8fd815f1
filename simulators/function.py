"""A plain function as a Simulator."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulators.fingerprint import code_fingerprint, module_name
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

"""What an error shows to whoever has something else than a simulator."""


@dataclass(frozen=True, eq=False)
class FunctionSimulator:
    """What the decorator ``simulator`` makes of a function; called, it is the function still.

    function: takes the parameters by name and ``rng`` (a numpy Generator), and returns (channels, samples), or
    (samples,) of one channel. transient_ms: at the start, kept but not analysed.

    >>> import numpy as np
    >>> @simulator(parameters={"sd": (0.5, 2.0, "mV")}, sampling_rate=1000.0, unit="mV", channels=("V",))
    ... def noise(sd, rng):
    ...     return rng.normal(0, sd, (1, 500))
    >>> noise.parameters.names
    ('sd',)
    >>> noise.simulate([1.0], np.random.default_rng(0)).values.shape
    (1, 500)
    """

    function: Callable[..., Any]
    parameters: ParameterSpace
    sampling_rate: float
    unit: str
    channels: tuple[str, ...]
    transient_ms: float = 0.0
    __doc__: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_signature(self.function, self.parameters.names)
        object.__setattr__(self, "__doc__", self.function.__doc__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns, as if it were not decorated."""
        return self.function(*args, **kwargs)

    def simulate(
        self, theta: Float[np.ndarray, " n_parameters"] | Sequence[float], rng: np.random.Generator
    ) -> Recording:
        """One recording. Raises ValueError for a theta outside ``parameters`` and for what is no channels x samples."""
        named = dict(zip(self.parameters.names, self.parameters.check(theta).tolist(), strict=True))
        values = np.asarray(self.function(**named, rng=rng))
        if values.dtype.kind not in "iufb" or values.ndim not in (1, 2):
            raise ValueError(
                f"{self.name} returned {values.dtype} of shape {values.shape}; expected numbers, channels x samples"
            )
        values = np.atleast_2d(values)
        if values.shape[0] != len(self.channels):
            hint = "; transpose it" if values.shape[1] == len(self.channels) else ""
            raise ValueError(
                f"{self.name} returned shape {values.shape}; expected {len(self.channels)} channels "
                f"({', '.join(self.channels)}) x samples{hint}"
            )
        transient = round(self.transient_ms * self.sampling_rate / 1e3)
        return Recording(values, self.sampling_rate, self.unit, self.channels, transient)

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.__qualname__

    @property
    def module(self) -> str:
        """Where the function is from: a module's name, also where its file was run as a script."""
        return module_name(self.function)

    def identity(self) -> dict[str, Any]:
        """All that determines the recordings, as JSON: what it is called, its code and what the decorator was told."""
        return {
            "kind": "function",
            "class": self.name,
            "module": self.module,
            "code": code_fingerprint(self.function),
            "parameters": self.parameters.to_json(),
            "sampling_rate": self.sampling_rate,
            "unit": self.unit,
            "channels": list(self.channels),
            "transient_ms": self.transient_ms,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process as where to find it: a decorated function cannot be found under its own name."""
        from simulators.registry import load_simulator

        file = inspect.getsourcefile(self.function)
        if self.function.__module__ != "__main__" and "<locals>" not in self.name:
            module = sys.modules.get(self.function.__module__)
            file = getattr(module, "__file__", None) or file
        if file is None or not Path(file).is_file() or "<locals>" in self.name:
            raise TypeError(f"{self.name} is in no file, so no other process can run it")
        return load_simulator, (f"{Path(file).resolve()}:{self.name}",)


def simulator(
    *,
    parameters: Mapping[str, Any] | ParameterSpace,
    sampling_rate: float,
    unit: str,
    channels: Sequence[str],
    transient_ms: float = 0.0,
) -> Callable[[Callable[..., Any]], FunctionSimulator]:
    """Make a Simulator of a function that takes the parameters by name, and ``rng``, and returns channels x samples.

    Arguments:
        parameters: name -> (low, high), (low, high, unit) or (low, high, unit, meaning): uniform before any data.
        sampling_rate: of the values, Hz.
        unit: of the values, such as "mV"; "1" for spike counts; one a channel as in "mV, 1".
        channels: a name a channel.
        transient_ms: at the start, kept but not analysed.

    Raises:
        ValueError: ranges, names or numbers that cannot be, or a function that does not take them.
    """
    space = parameters if isinstance(parameters, ParameterSpace) else _space(parameters)
    if isinstance(channels, str):
        raise ValueError(f"channels is '{channels}'; give a name a channel, such as channels=('{channels}',)")
    if not 0 < sampling_rate < np.inf or not 0 <= transient_ms < np.inf:
        raise ValueError(
            f"a sampling rate of {sampling_rate} Hz with a transient of {transient_ms} ms cannot be: "
            f"the rate must be positive, the transient not negative"
        )
    return lambda function: FunctionSimulator(
        function, space, float(sampling_rate), unit, tuple(channels), float(transient_ms)
    )


def _space(parameters: Mapping[str, Any]) -> ParameterSpace:
    made = []
    for name, given in parameters.items():
        if isinstance(given, str) or not isinstance(given, Sequence) or not 2 <= len(given) <= 4:
            raise ValueError(f"parameter {name} is {given!r}; expected (low, high), or (low, high, unit)")
        low, high, *words = given
        unit, meaning = (*words, "1", "")[:2] if not words else (*words, "")[:2]
        made.append(Parameter(name, str(unit), float(low), float(high), str(meaning)))
    return ParameterSpace(tuple(made))


def _check_signature(function: Callable[..., Any], names: Sequence[str]) -> None:
    """Raises ValueError where the function cannot be called with these names and ``rng``."""
    try:
        inspect.signature(function).bind(**dict.fromkeys((*names, "rng")))
    except TypeError as error:
        shown = getattr(function, "__qualname__", repr(function))
        raise ValueError(
            f"{shown}{inspect.signature(function)} cannot be called as {shown}({', '.join(names)}, rng): {error}"
        ) from None
