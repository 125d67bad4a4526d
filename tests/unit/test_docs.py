"""What the documents say is so: their code runs, their commands exist, their links lead somewhere."""

import importlib.util
import re
import shlex
import tomllib
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


def commands(document: Path) -> list[list[str]]:
    """The arguments of the commands in blocks of `sh`; those in blocks of `console` are only shown."""
    lines = [line for block in blocks(document, "sh") for line in block.splitlines() if line.startswith("tiffin ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_code_in_the_documents_runs(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks(document, "python"):
        exec(compile(block, str(document), "exec"), names)
    for args in commands(document):
        done = CliRunner().invoke(app, args, prog_name="tiffin", catch_exceptions=False)
        assert done.exit_code == 0, (args, done.output)


@pytest.mark.parametrize("page", ["README", "docs/start", "docs/saving", "docs/migration", "docs/operations"])
def test_these_pages_have_commands_that_are_run(page):
    assert len(commands(ROOT / f"{page}.md")) >= 4


@pytest.mark.parametrize("page", ["start.md", "concepts.md"])
def test_the_korean_pages_have_the_code_of_the_english_ones(page):
    for language in ("python", "sh", "console"):
        assert blocks(ROOT / "docs" / "ko" / page, language) == blocks(ROOT / "docs" / page, language)


def test_every_page_is_in_the_navigation_and_every_entry_has_its_page():
    def entries(nav: list | dict | str) -> list[str]:
        parts = nav.values() if isinstance(nav, dict) else nav
        return [nav] if isinstance(nav, str) else [entry for part in parts for entry in entries(part)]

    shown = entries(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    told = "`nav` in zensical.toml names every page; those of decisions/ are listed by its index"
    assert sorted(shown) == sorted(page for page in pages if not re.match(r"decisions/\d", page)), told


def test_what_the_reference_describes_is_there():
    described = [
        name
        for page in (ROOT / "docs").rglob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    ]
    assert "tiffin.store.FeatureStore" in described
    for name in described:
        module, _, found = name.rpartition(".")
        assert hasattr(importlib.import_module(module), found), name


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The pages as `make docs` hands them to the generator of the site."""
    folder = tmp_path_factory.mktemp("site") / "pages"
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    generate.main(str(folder))
    return folder


def test_the_reference_is_made_from_the_code(site):
    every_command = (site / "reference/commands.md").read_text()
    assert "## tiffin training reproduce\n\n`tiffin training reproduce NAME`" in every_command
    assert "| `--mode overwrite or append or upsert` |" in every_command
    assert "| `--sample N` | How many entities of each table to compare. Default: `1000`. |" in every_command
    assert "| `GET /features/{group}/{name}` |" in (site / "reference/routes.md").read_text()
    assert '| `TIFFIN_KEEP_VERSIONS` | `"all"` |' in (site / "reference/settings.md").read_text()
    assert "| `TableNotFound` | `table_not_found` | 404 |" in (site / "reference/errors.md").read_text()
    assert "## quickstart.py\n\n```py\n" in (site / "examples.md").read_text()
    assert "(0001-own-commit-path.md)" in (site / "decisions/index.md").read_text()


def test_nothing_is_left_to_generate_and_no_link_leads_out_of_the_site(site):
    for page in site.rglob("*.md"):
        assert not re.search("^<!-- generated", page.read_text(), re.MULTILINE), page
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            assert "://" in target or (page.parent / target).resolve().is_relative_to(site), (page, target)


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
