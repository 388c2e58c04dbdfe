"""Docstrings: what they must say, and the pages that tools/docs.sh makes of them."""

import ast
import importlib
import pkgutil
import re
import warnings
from pathlib import Path

import pytest

import espnet2_sop

PACKAGE = Path(espnet2_sop.__file__).parent
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
SECTION = re.compile(r"^( *)(Args|Returns|Yields|Raises):$\n((?:^\1 +.*\n|^ *\n)*)", re.MULTILINE)
ENTRY = re.compile(r"^ +([\w*, /]+?)(?: \([^)]*\))?: *\S")


def own_nodes(function: ast.FunctionDef):
    """The nodes of a function's body without those of functions and classes within it."""
    found = list(function.body)
    while found:
        node = found.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            found += ast.iter_child_nodes(node)


def public_functions(tree: ast.Module):
    """Yields (name, node) of the functions and methods of a module without a leading underscore anywhere."""
    classes = [("", tree)]
    while classes:
        prefix, parent = classes.pop()
        for node in parent.body:
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or node.name.startswith("_"):
                continue
            if isinstance(node, ast.ClassDef):
                classes.append((f"{prefix}{node.name}.", node))
            else:
                yield prefix + node.name, node


def arguments(function: ast.FunctionDef, is_method: bool) -> list[str]:
    """The names of the arguments, without self or cls."""
    args = function.args
    names = [arg.arg for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg] if arg]
    bound = is_method and "staticmethod" not in decorators(function)
    return names[1:] if bound else names


def decorators(function: ast.FunctionDef) -> set[str]:
    """The last words of the decorators: override, staticmethod."""
    return {ast.unparse(node).partition("(")[0].rpartition(".")[2] for node in function.decorator_list}


def lacks(function: ast.FunctionDef, is_method: bool = False) -> list[str]:
    """What the docstring of a function of two or more arguments does not say or says of no argument."""
    names = arguments(function, is_method)
    if len(names) < 2 or "override" in decorators(function):
        return []
    sections = {m[2]: m[3] for m in SECTION.finditer(f"{ast.get_docstring(function) or ''}\n")}
    entries = [m[1] for line in sections.get("Args", "").splitlines() if (m := ENTRY.match(line))]
    told = {name.strip(" *") for entry in entries for name in re.split("[,/]", entry)}
    found = [f"Args of {', '.join(missing)}"] if (missing := [name for name in names if name not in told]) else []
    nodes = list(own_nodes(function))
    hint = ast.unparse(function.returns) if function.returns else "None"
    returned = any(isinstance(node, ast.Return) and node.value is not None for node in nodes)
    yielded = any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in nodes)
    if (returned or yielded or hint not in ("None", "NoReturn")) and not {"Returns", "Yields"} & set(sections):
        found.append("Yields" if yielded else "Returns")
    raised = (node.exc for node in nodes if isinstance(node, ast.Raise) and node.exc)
    if any("UserError" in ast.unparse(exc).partition("(")[0] for exc in raised) and "Raises" not in sections:
        found.append("Raises")
    return found


def faults(text: str, name: str) -> list[str]:
    """One line for every public function of a module's text whose docstring is not complete."""
    return [
        f"{name}:{node.lineno} {function} lacks {'; '.join(missing)}"
        for function, node in public_functions(ast.parse(text))
        if (missing := lacks(node, is_method="." in function))
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_are_complete(room):
    """Arguments, result and errors of every public function of two or more arguments, in Google style."""
    found = []
    for path in sorted((PACKAGE / room).rglob("*.py")):
        found += faults(path.read_text(), str(path.relative_to(PACKAGE.parent)))
    assert not found, "\n".join(["", *found])


def test_docstrings_of_the_recipes_scripts_are_complete():
    root = PACKAGE.parent
    paths = sorted(path for path in root.glob("egs2/*/*/local/**/*.py") if not path.is_symlink())
    found = [line for path in paths for line in faults(path.read_text(), str(path.relative_to(root)))]
    assert paths and not found, "\n".join(["", *found])


def docstrings(text: str) -> list[str]:
    """The docstrings of a module and of all its classes and functions."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]


def test_docstrings_speak_of_nobody():
    """They say what the code does, not what its writers or readers do."""
    persons = re.compile(r"\b(I(?![/-])|[Ww]e|[Yy]ou|[Yy]ours?|[Oo]urs?|[Mm]y)\b.*")
    found = [(str(path), person[0]) for path in PACKAGE.rglob("*.py") for text in docstrings(path.read_text())
             if (person := persons.search(text))]  # fmt: skip
    assert found == []


COMPLETE = '''
def mix(a: float, *rest, gain: float = 1.0) -> float:
    """Adds.

    Args:
        a: First level in dB.
        *rest: The others,
            in the order: of the talkers.
        gain (float): Factor.

    Returns:
        Sum in dB.

    Raises:
        UserError: If it is loud.
    """
    if a > 0:
        raise UserError("loud")
    return a + sum(rest)
'''


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("", "", None),
        ("        a: First level in dB.\n", "", "Args of a"),
        ("        *rest:", "        others:", "Args of rest"),
        ("gain (float): Factor.", "gain:", "Args of gain"),
        ("in the order: of", "order: of", None),
        ("    Returns:\n        Sum in dB.\n\n", "", "Returns"),
        ("    Raises:\n        UserError: If it is loud.\n", "", "Raises"),
        ("*rest, gain: float = 1.0", "*rest, gain, loud", "Args of loud"),
        ("def mix(", "@typing.override\ndef mix(", None),
        ("def mix(", "def _mix(", None),
    ],
)
def test_what_a_docstring_must_say(old, new, fault):
    assert old in COMPLETE
    line = COMPLETE.replace(old, new, 1).split("mix(")[0].count("\n") + 1
    assert faults(COMPLETE.replace(old, new, 1), "a.py") == ([f"a.py:{line} mix lacks {fault}"] if fault else [])


def test_methods_count_without_self_and_nested_functions_are_private():
    text = '''
class Room:
    def add(self, x): return x
    @staticmethod
    def of(a, b):
        """Joins."""
        def inner(c, d): return c
        yield inner
    def walk(self, a, b): raise ValueError(a)
class _Hidden:
    def add(self, a, b): return a
'''
    assert faults(text, "a.py") == [
        "a.py:5 Room.of lacks Args of a, b; Yields",
        "a.py:9 Room.walk lacks Args of a, b",
    ]


def modules() -> list[str]:
    """Every module that is read by others; a leading underscore hides one."""
    found = (m.name for m in pkgutil.walk_packages(espnet2_sop.__path__, "espnet2_sop."))
    return [name for name in found if not any(part.startswith("_") for part in name.split("."))]


@pytest.mark.slow
def test_what_is_marked_override_overrides():
    """The mark stands for a docstring of the base class."""
    found = []
    for module in map(importlib.import_module, modules()):
        for cls in vars(module).values():
            if isinstance(cls, type) and cls.__module__ == module.__name__:
                marked = [name for name, value in vars(cls).items() if getattr(value, "__override__", False)]
                found += [(cls, name) for name in marked if not any(hasattr(base, name) for base in cls.__bases__)]
    assert found == []


@pytest.mark.slow
def test_pages_are_built_without_warnings(tmp_path):
    import pdoc

    names = modules()
    for name in names:
        importlib.import_module(name)
    pdoc.render.configure(docformat="google", show_source=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pdoc.pdoc("espnet2_sop", output_directory=tmp_path)
    assert [str(w.message) for w in caught if "pdoc" in w.filename] == []
    for name in names:
        assert (tmp_path / f"{name.replace('.', '/')}.html").is_file(), name
    page = (tmp_path / "espnet2_sop/model/encoder/abs_encoder.html").read_text()
    assert "16 kHz, zero-padded" in page and "<h6" in page  # sections of Google style are understood
    assert 'src="http' not in page and 'href="http' not in page.replace('href="https://pdoc.dev"', "")
