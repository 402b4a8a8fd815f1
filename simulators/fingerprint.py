"""A hash of what a user's function or class does, so that two models of one name are told apart."""

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

_CONSTANTS = (int, float, complex, str, bytes, tuple, list, dict, set, frozenset, np.ndarray, np.generic)


def code_fingerprint(thing: Callable[..., Any] | type) -> str:
    """Hash of what a function or class does: its code, and the functions, classes and constants that it uses.

    Those are followed within its own module and the modules in the same folder; libraries are not. Comments, layout,
    docstrings and decorators make no difference.
    """
    seen: dict[str, str] = {}
    _follow(thing, seen, module_name(thing))
    return hashlib.sha256("\n".join(f"{name}: {seen[name]}" for name in sorted(seen)).encode()).hexdigest()[:16]


def module_name(thing: Any) -> str:
    """Where a function or class is from: a module's name, also where its file was run as a script."""
    if thing.__module__ != "__main__":
        return thing.__module__
    file = getattr(sys.modules["__main__"], "__file__", None)
    return Path(file).stem if file else "__main__"


def _follow(thing: Any, seen: dict[str, str], home: str) -> None:
    """Add the code of a function or class, and of all that it uses, by name; of the module ``home`` without its own."""
    place = "" if module_name(thing) == home else f"{module_name(thing)}."
    name = place + thing.__qualname__
    if name in seen:
        return
    seen[name] = _plain_code(thing)
    for used_name, used in _used(thing):
        plain = _undecorated(used)
        if isinstance(used, _CONSTANTS) or (plain is used and _is_configuration(used)):
            seen[f"{place}{used_name} of {name}"] = _shown(used)
        elif (inspect.isfunction(plain) or inspect.isclass(plain)) and _beside(plain, thing):
            _follow(plain, seen, home)


def _used(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a function, or the methods and bases of a class, look up in their module, in modules beside, or enclose."""
    if inspect.isclass(thing):
        yield from ((base.__name__, base) for base in thing.__bases__)
        for member in vars(thing).values():
            member = getattr(member, "__func__", None) or getattr(member, "fget", None) or _undecorated(member)
            if inspect.isfunction(member):
                yield from _used(member)
        return
    names = set(_names(thing.__code__))
    for name in sorted(names & set(thing.__globals__)):
        value = thing.__globals__[name]
        if isinstance(value, ModuleType) and _folder(value) == _folder(sys.modules.get(thing.__module__)) is not None:
            yield from ((f"{name}.{inner}", vars(value)[inner]) for inner in sorted(names & set(vars(value))))
        else:
            yield name, value
    for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
        yield name, cell.cell_contents
    yield "its defaults", (*(thing.__defaults__ or ()), *sorted((thing.__kwdefaults__ or {}).items()))


def _undecorated(thing: Any) -> Any:
    """The function itself where our decorator, numba's or one of functools is around it."""
    for name in ("function", "py_func", "__wrapped__"):
        inner = getattr(thing, name, None)
        if inspect.isfunction(inner):
            return inner
    return thing


def _is_configuration(thing: Any) -> bool:
    return is_dataclass(thing) and not isinstance(thing, type)


def _shown(constant: Any) -> str:
    if isinstance(constant, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(constant).tobytes()).hexdigest()
        return f"{constant.dtype}{constant.shape} {content}"
    if _is_configuration(constant):
        return f"{type(constant).__qualname__} {_shown({f.name: getattr(constant, f.name) for f in fields(constant)})}"
    if isinstance(constant, set | frozenset):
        return f"{{{', '.join(sorted(map(_shown, constant)))}}}"
    if isinstance(constant, tuple | list):
        return f"[{', '.join(map(_shown, constant))}]"
    if isinstance(constant, dict):
        return f"{{{', '.join(f'{_shown(k)}: {_shown(v)}' for k, v in constant.items())}}}"
    # Others' repr may hold where they lie in memory.
    return repr(constant) if isinstance(constant, (*_CONSTANTS, type(None))) else type(constant).__qualname__


def _beside(used: Any, user: Any) -> bool:
    """Whether something is of the same module, or of one in the same folder."""
    if used.__module__ == user.__module__:
        return True
    here, there = (_folder(sys.modules.get(thing.__module__)) for thing in (user, used))
    return here is not None and here == there


def _folder(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve().parent if file else None


def _names(code: CodeType) -> Iterator[str]:
    """Names that code looks up, also in the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _plain_code(thing: Any) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, SyntaxError, TypeError):  # typed in at a prompt
        return _bytecode(thing)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            node.decorator_list = []
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _bytecode(thing: Any) -> str:
    if inspect.isclass(thing):
        methods = {n: m for n, m in vars(thing).items() if inspect.isfunction(m) and not n.startswith("__")}
        return " ".join(f"{name} {_bytecode(method)}" for name, method in sorted(methods.items()))
    return _of_code(thing.__code__)


def _of_code(code: CodeType) -> str:
    constants = [_of_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
