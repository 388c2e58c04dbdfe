"""Parts by name: those of the package, and a user's own as `module:Class` (docs/extending.md)."""

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from espnet2_sop.io.errors import UserError


def find_part[T](option: str, name: str, known: Mapping[str, T], base: type | None = None) -> T:
    """Finds the part that a configuration names.

    Args:
        option: The configuration key or command line option, for the error message.
        name: Key of `known`, or `module:Name` of a module on PYTHONPATH or in the working directory (of a recipe's
            stages: the recipe's folder).
        known: The parts of the package.
        base: Class of which a user's own part must be a subclass; None: it must be a function.

    Returns:
        The class or function.

    Raises:
        UserError: There is no such part, its module cannot be imported, or it is of another kind.
    """
    if name in known:
        return known[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise UserError(f"{option}: no {name!r}; known: {', '.join(known)}, or module:Name of your own")
    if not module:
        raise UserError(f"{option}: {name!r} is not module:Name")
    part = getattr(_import(option, module), attribute, None)
    if part is None:
        raise UserError(f"{option}: {module} has no {attribute!r}; {sys.modules[module].__file__} was read")
    if base is None and (isinstance(part, type) or not callable(part)):
        raise UserError(f"{option}: {name} is not a function")
    if base and not (isinstance(part, type) and issubclass(part, base)):
        raise UserError(f"{option}: {name} is not a subclass of {base.__module__}.{base.__name__}")
    return part


def require_imported(config: Mapping[str, Any]) -> None:
    """Refuses the configuration of a package that names own parts whose modules the program has not imported itself.

    Packages come from others: they must not choose what is imported here.

    Raises:
        UserError: There is such a part.
    """
    for option in ("encoder", "separator", "llm"):
        module, colon, _ = str(config.get(option, "")).partition(":")
        if colon and module not in sys.modules:
            raise UserError(
                f"{option}: this package needs {config[option]}, and no package may import what it wants: import "
                f"{module} in your program before you load the package, or use the folder of the training instead"
            )


def _import(option: str, module: str) -> Any:
    """Imports a user's module; an error in it is one line with its place."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: a folder `data` of a recipe hides no package
    try:
        return importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise UserError(f"{option}: no module {module!r} on PYTHONPATH or in {os.getcwd()}") from None
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{error.filename}, line {error.lineno}" if isinstance(error, SyntaxError) else (
            f"{last.filename}, line {last.lineno}"
        )  # fmt: skip
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{option}: {module} cannot be imported ({reason}; {place})") from error
