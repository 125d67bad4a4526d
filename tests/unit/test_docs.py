"""What the documents say is so: their code runs, their commands exist, their links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tiffin.cli.app import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_in_the_documents_runs(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks(document, "python"):
        exec(compile(block, str(document), "exec"), names)


def test_the_commands_of_the_readme_work_on_what_its_python_saved(tmp_path, monkeypatch):
    test_python_in_the_documents_runs(ROOT / "README.md", tmp_path, monkeypatch)
    commands = [shlex.split(line) for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    commands = [args for program, *args in commands if program == "tiffin"]
    assert commands
    for args in commands:
        done = CliRunner().invoke(app, args, prog_name="tiffin", catch_exceptions=False)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(), re.MULTILINE))
        assert named <= targets, document


def test_the_two_commands_stand_at_the_top_of_the_readme():
    assert re.findall(r"^make (\w+)", blocks(ROOT / "README.md", "sh")[0], re.MULTILINE) == ["demo", "test"]


def test_the_changelog_knows_the_version():
    import tiffin

    assert f"## {tiffin.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f'version = "{tiffin.__version__}"' in (ROOT / "pyproject.toml").read_text()
