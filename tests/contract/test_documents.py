"""What the documents name is there: files, folders, links, modules and what these define."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("jscc", "services", "trainer")
PLACEHOLDER = re.compile(r"<\w+>|\*")


@cache
def tracked() -> frozenset[str]:
    """Return the tracked files and every folder that holds some."""
    found = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    files = found.stdout.split("\n")[:-1]
    return frozenset({*files, *(str(folder) for file in files for folder in PurePosixPath(file).parents)})


DOCUMENTS = sorted(path for path in tracked() if path.endswith(".md") and path != "CHANGELOG.md")


def named(text: str) -> list[str]:
    """Return what stands in backticks, in one line and outside of blocks of code."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", prose)


def is_path(word: str) -> bool:
    """Whether a word can only mean a file or folder of the repository."""
    if not re.fullmatch(r"[\w.*<>/-]+", word):
        return False
    return word.endswith((".py", ".proto")) or ("/" in word and word.partition("/")[0] in tracked())


def exists(path: str) -> bool:
    """Whether a path is there, from the root or shortened at its front; a checkpoint is named without suffix."""
    pattern = "[^/]*".join(re.escape(part) for part in PLACEHOLDER.split(path.rstrip("/")))
    if path.partition("/")[0] not in tracked():
        pattern = f".*/{pattern}"
    return any(re.fullmatch(rf"{pattern}(\.json)?", file) for file in tracked())


def defined(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Return what a module or a class defines or imports, by name."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        names = [name for target in targets for name in (target.elts if isinstance(target, ast.Tuple) else [target])]
        found |= {name.id: node for name in names if isinstance(name, ast.Name)}
        if isinstance(node, ast.ImportFrom | ast.Import):
            found |= {alias.asname or alias.name: node for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node
    return found


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module, what one defines, or a member of a class in one."""
    parts = dotted.split(".")
    if dotted.startswith("jscc.wire.v1."):
        folder = REPOSITORY / "proto" / "jscc" / "wire" / "v1"
        protos = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.proto"))
        return re.search(rf"^(service|message|enum) {parts[3]} ", protos, re.MULTILINE) is not None
    for length in range(len(parts), 0, -1):
        base = "/".join(parts[:length])
        file = next((name for name in (f"{base}.py", f"{base}/__init__.py") if name in tracked()), None)
        if file is not None:
            body = ast.parse((REPOSITORY / file).read_text(encoding="utf-8")).body
            for name in parts[length:]:
                found = defined(body).get(name)
                if found is None:
                    return False
                body = found.body if isinstance(found, ast.ClassDef) else []
            return True
    return False


def missing(text: str) -> list[str]:
    """Return every path and dotted name of a text that is not there."""
    words = [word.removesuffix("()") for word in named(text)]
    dotted = [word for word in words if re.fullmatch(rf"({'|'.join(PACKAGES)})(\.\w+)+", word)]
    dotted += re.findall(rf"-m ((?:{'|'.join(PACKAGES)})[\w.]*)", text)
    paths = [word for word in words if is_path(word)]
    return [word for word in paths if not exists(word)] + [word for word in dotted if not resolves(word)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_and_modules_are_there(document: str) -> None:
    assert missing((REPOSITORY / document).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)\s#]+)", text) if "://" not in target]
    folder = (REPOSITORY / document).parent
    assert [target for target in targets if not (folder / target).exists()] == []


def test_what_is_not_there_is_found() -> None:
    there = (
        "`jscc/link.py` `services/` `jscc/models/<name>.py` `link/star.py` `checkpoints/kltjscc` `factories.py`"
        " `jscc.link.Link.encode` `jscc.wire.v1.EncoderService` `jscc.cancel.check()` `services.orchestrator.results`"
        " `runs/kodak` `link.json` `.venv/bin/jscc-link`; python -m trainer train"
    )
    gone = [
        "jscc/links.py",
        "nosuch.py",
        "sweep/rows.py",
        "services/<name>/nosuch.py",
        "jscc.link.Sender",
        "trainer.nosuch",
    ]
    assert missing(there) == []
    assert missing(" ".join(f"`{word}`" for word in gone)) == gone
    assert missing("    python -m services.nosuch") == ["services.nosuch"]
