"""One word, one thing: no two classes of the same name in the tree, so that a name alone says which is meant."""

import ast
import subprocess
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PER_FILE = {
    "jscc/models": {"Config", "SendOptions", "ReceiveOptions", "Transmitter", "Receiver"},
    "jscc/channels": {"Options"},
}
"""What every file of a registry defines under the same name, since that is how it is found."""


def tracked() -> list[str]:
    """Return the tracked Python files of the product; generated ones define no class as text."""
    command = ["git", "ls-files", "jscc/*.py", "services/*.py", "trainer/*.py"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()


def public_classes(text: str) -> set[str]:
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name[0] != "_"}


def homonyms(sources: dict[str, str]) -> dict[str, list[str]]:
    """Return the files of every public class name that several of `sources`, text by file, define."""
    files = defaultdict(list)
    for file, text in sources.items():
        for name in public_classes(text) - PER_FILE.get(file.rpartition("/")[0], set()):
            files[name].append(file)
    return {name: found for name, found in files.items() if len(found) > 1}


def test_no_two_classes_have_the_same_name() -> None:
    sources = {file: (REPOSITORY / file).read_text(encoding="utf-8") for file in tracked()}
    assert len(sources) > 100
    assert homonyms(sources) == {}


def test_homonyms_are_found_and_what_a_registry_asks_for_is_none() -> None:
    sources = {
        "jscc/link.py": "class Link: pass\nclass _Own: pass",
        "services/orchestrator/link/star.py": "class Link: pass\nclass _Own: pass",
        "jscc/models/a.py": "class Config: pass\nclass Tile: pass",
        "jscc/models/b.py": "class Config: pass\nclass Tile: pass",
        "trainer/settings.py": "class Config: pass",
    }
    assert homonyms(sources) == {
        "Link": ["jscc/link.py", "services/orchestrator/link/star.py"],
        "Tile": ["jscc/models/a.py", "jscc/models/b.py"],
    }
