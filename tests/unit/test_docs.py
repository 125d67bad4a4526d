"""What the documents say is there: pages, links, figures, errors, options. Their code is run by e2e/test_pages.py."""

import configparser
import importlib.util
import re
import shlex
import tomllib
import unicodedata
from functools import cache
from itertools import chain
from pathlib import Path

import msgspec
import pytest
import typer
import yaml
from prometheus_client.parser import text_string_to_metric_families

import tiffin
from pages import DOCUMENTS, ROOT, blocks
from tiffin import errors
from tiffin.cli.app import app
from tiffin.frames.ingest import MAX_NAME_LENGTH
from tiffin.schema import dtypes
from tiffin.schema.constraints import kinds
from tiffin.server.edge.metrics import Metrics
from tiffin.server.options import Limits
from tiffin.tables import datafiles, tagging


def code(document: Path, language: str) -> list[str]:
    return [block.text for block in blocks(document) if block.language == language]


@pytest.mark.parametrize("page", ["start.md", "concepts.md"])
def test_the_korean_pages_have_the_code_of_the_english_ones(page):
    for language in ("python", "sh"):
        assert code(ROOT / "docs" / "ko" / page, language) == code(ROOT / "docs" / page, language)


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
def test_links_lead_somewhere(document, site):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", document.read_text()):
        if "://" in target:
            continue
        found = (document.parent / target).resolve() if target else document
        assert found.exists(), target
        if anchor:
            inside = found.relative_to(ROOT / "docs") if found.is_relative_to(ROOT / "docs") else None
            assert anchor in anchors(site / inside if inside else found), f"{target}#{anchor}"


@cache
def anchors(document: Path) -> set[str]:
    """The names of a page's headings, as Python-Markdown's table of contents makes them."""
    without_code = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    plain = [unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode() for heading in headings]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in plain}


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(), re.MULTILINE))
        assert named <= targets, document


def test_the_two_commands_stand_at_the_top_of_the_readme():
    assert re.findall(r"^make (\w+)", code(ROOT / "README.md", "sh")[0], re.MULTILINE) == ["demo", "test"]


def test_the_changelog_knows_the_version():
    assert f"## {tiffin.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f'version = "{tiffin.__version__}"' in (ROOT / "pyproject.toml").read_text()


# The pages that name what is defined elsewhere


def test_every_error_has_its_row_in_troubleshooting():
    def below(kind: type) -> list[type]:
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    codes = {each.code for each in below(errors.TiffinError) if each.__module__ == errors.__name__}
    page = (ROOT / "docs/troubleshooting.md").read_text()
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == sorted(codes)


def test_the_bounds_that_are_told_are_those_of_the_code():
    page = (ROOT / "docs/limits.md").read_text()
    rows = re.findall(r"^\| (.+?) \| \D*(\d[\d,]*)", page, re.MULTILINE)
    told = {what: int(number.replace(",", "")) for what, number in rows}
    bounds = {
        "nesting of types": dtypes.MAX_DEPTH,
        "categories of a column": dtypes.MAX_CATEGORIES,
        "partitions of a table": datafiles._MAX_PARTITIONS,
        "a partition's value, as the name of a folder": datafiles._MAX_PARTITION_TEXT,
        "tags of a table": tagging.MOST_TAGS,
        "constraints of a table": kinds._MOST,
    }
    assert {what: told[what] for what in bounds} == bounds
    assert f"| column names | 1 to {MAX_NAME_LENGTH} characters" in page


def test_the_limits_of_the_server_that_are_told_are_those_of_the_code():
    table = (ROOT / "docs/server.md").read_text().split("| limit | default |")[1].split("\n\n")[0]
    units = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024**2}
    told = {}
    for row in table.splitlines()[2:]:
        named, default = row.split(" | ")[:2]
        found = re.findall(r"(\d[\d,]*)(?: (MiB|KiB|s))?", default)
        amounts = [int(number.replace(",", "")) * units[unit] for number, unit in found]
        names = re.findall(r"`(\w+)`", named)
        told |= dict(zip(names, amounts if len(names) <= len(amounts) else amounts * len(names), strict=False))
    assert told == msgspec.structs.asdict(Limits())


def test_figures_that_are_named_are_there_with_their_labels(tmp_path):
    store = tiffin.FeatureStore(tmp_path)
    store.save("user/ratings", [{"user_id": 7}], entity="user_id", online=True)
    metrics = Metrics(store)
    metrics.observe("POST", "/online", 200, 0.001, rows=1)
    metrics.observe_write("/tables/{group}/{name}", 0.1)
    there: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        there.setdefault(family.name, set())
        for sample in family.samples:
            there[sample.name] = {*sample.labels, *there.get(sample.name, ())}
    for name in ("monitoring.md", "server.md", "operations.md", "troubleshooting.md"):
        page = (ROOT / "docs" / name).read_text().replace("\\|", "|")
        for figure, asked in re.findall(r"\b(tiffin_[a-z_]+)(?:\{([^}]*)\})?", page):
            assert figure in there, (name, figure)
            assert set(re.findall(r"(\w+)=~?\"", asked)) <= there[figure], (name, figure, asked)


def test_rules_for_prometheus_are_whole():
    (rules,) = (block for block in blocks(ROOT / "docs/monitoring.md") if block.of == "tiffin-rules.yml")
    for rule in yaml.safe_load(rules.text)["groups"][0]["rules"]:
        assert rule.keys() == {"alert", "expr", "for", "annotations"}
        assert rule["expr"].count("(") == rule["expr"].count(")"), rule
        assert re.fullmatch(r"\d+m", rule["for"])
    (scraped,) = (block for block in blocks(ROOT / "docs/monitoring.md") if block.of == "prometheus.yml")
    assert yaml.safe_load(scraped.text)["rule_files"] == ["tiffin-rules.yml"]


def test_units_for_systemd_run_commands_that_exist():
    known = typer.main.get_command(app)
    units = [block for block in blocks(ROOT / "docs/deployment.md") if block.language == "ini"]
    started = [re.findall(r"^ExecStart=/opt/tiffin/bin/tiffin (.+)$", unit.text, re.MULTILINE) for unit in units]
    assert [len(commands) for commands in started] == [1, 4, 0]
    for unit in units:
        configparser.ConfigParser(strict=False, interpolation=None).read_string(unit.text)
    for line in chain(*started):
        words = shlex.split(line.removeprefix("--store /srv/tiffin/feature_store "))
        command = known
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {name for each in command.params for name in each.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
