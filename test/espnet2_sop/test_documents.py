"""What the documents name is there: linked files and headings, modules, commands, and their options."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from espnet2_sop.bin.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("egs2/*/*/*.md"), *ROOT.glob("egs2/*/*/*/README.md")]
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_links_lead_somewhere(page):
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        if not re.match(r"\w+:", link):
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or anchor and anchor not in anchors(target):
                dead.append(link)
    assert dead == []


def is_there(name: str) -> bool:
    """True if a dotted name is a module of the package, or one and a name that its file has."""
    path, _, last = name.replace(".", "/").rpartition("/")
    if (ROOT / path / last).is_dir() or (ROOT / path / f"{last}.py").is_file():
        return True
    file = ROOT / path / "__init__.py" if (ROOT / path).is_dir() else ROOT / f"{path}.py"
    defined = rf'^ *(class |def )?"?{last}"?( =|:|\()'
    return file.is_file() and re.search(defined, file.read_text(), re.MULTILINE) is not None


@every_page
def test_files_and_modules_have_the_names_of_the_text(page):
    text = page.read_text()
    files = re.findall(r"(?<![\w./~-])(?:espnet2_sop|test|tools|docs)/[\w./-]+\.(?:py|sh|md)\b", text)
    assert [name for name in files if not any((root / name).is_file() for root in (ROOT, page.parent))] == []
    assert [name for name in re.findall(r"\bespnet2_sop(?:\.\w+)+", text) if not is_there(name)] == []


@every_page
def test_files_have_the_names_beside_them(page):
    """`name` in [file](path): the file defines it; so does a file in the head of a table for the names below it."""
    pairs = re.findall(r"`([\w.]+)` in \[[^\]]*\]\(([^)#]+\.py)\)", page.read_text())
    rows: list[str] = []
    for line in page.read_text().splitlines():
        rows = [*rows, line] if line.startswith("|") else []
        if len(rows) > 2 and (head := re.search(r"function in \[[^\]]*\]\(([^)]+)\) \|$", rows[0])):
            pairs += [(name, head[1]) for name in re.findall(r"`(\w+)`", line.rsplit("|", 2)[1])]
    names = [(name.rpartition(".")[2], (page.parent / path).read_text()) for name, path in pairs]
    assert [name for name, text in names if not re.search(rf"^ *(def|class) {name}\b", text, re.MULTILINE)] == []


def code(page: Path) -> list[str]:
    """The commands of a page: lines of its shell blocks, continued ones joined, and code within a line."""
    text = page.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*lines, *re.findall(r"`([^`]+)`", rest.replace("\n", " "))]


def words(line: str) -> list[str]:
    """A line's words without comment, up to a pipe or another command; no quotes are followed into shell code."""
    try:
        found = shlex.split(line, comments=True)
    except ValueError:
        found = line.split()
    ends = [i for i, word in enumerate(found) if word in ("|", "||", "&&", ";", ">")]
    return found[: ends[0]] if ends else found


def flags(parser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}


def options_of(command: str, mode: str | None) -> set[str]:
    """What a command understands."""
    if command in ("train", "cache"):
        from espnet2_sop.bin.train import HELP
        from espnet2_sop.training.task import SOPTask

        return flags(SOPTask.get_parser()) | set(re.findall(r"--\w+", HELP))
    parser = importlib.import_module(f"espnet2_sop.bin.{command}").get_parser()
    found = flags(parser)
    for action in parser._actions:
        if mode in (getattr(action, "choices", None) or ()) and command == "prepare":
            found |= flags(action.choices[mode])
    return found


@every_page
def test_commands_and_their_options_exist(page):
    wrong = []
    for line in code(page):
        found = words(line)
        if "espnet2-sop" not in found:
            continue
        found = found[found.index("espnet2-sop") + 1 :]
        command = found[0] if found else ""
        if not re.fullmatch(r"[a-z]+", command):
            continue
        if command not in COMMANDS:
            wrong.append(line)
            continue
        given = {word.partition("=")[0] for word in found[1:] if word.startswith("--")} - {"--help"}
        mode = found[1] if len(found) > 1 else None
        wrong += [f"{option} of {line}" for option in given and given - options_of(command, mode)]
    assert wrong == []


@every_page
def test_options_of_the_driver_exist(page):
    """`./run.sh --name value`; what is in quotes goes to another command."""
    driver = (ROOT / "egs2/TEMPLATE/sop_asr1/sop.sh").read_text()
    block = driver.split("### options")[1].split("### end")[0]
    known = {f"--{name}" for name in re.findall(r"^(\w+)=", block, re.MULTILINE)} | {"--recipe", "--test", "--help"}
    wrong = []
    for line in code(page):
        found = words(line)
        if any(word.endswith(("/run.sh", "/sop.sh")) for word in found):
            given = [word.partition("=")[0] for word in found if re.match(r"--\w+(=|$)", word)]
            wrong += [f"{option} of {line}" for option in given if option not in known]
    assert wrong == []
