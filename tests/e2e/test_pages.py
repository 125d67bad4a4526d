"""The pages can be followed: every block of code on them is run, and those that are not are listed here."""

import pytest

from pages import DOCUMENTS, Block, Reader, blocks, commands, is_as_shown, name_of, reader

ENGLISH = [document for document in DOCUMENTS if document.parent.name != "ko"]  # the code of both is the same
EVERY_BLOCK = {document: blocks(document) for document in ENGLISH}

# A server takes a second to start. Those of these pages are started with the fast tests all the same.
SERVED_AT_ONCE = {"docs/start.md", "docs/calling.md", "docs/client.md"}

INSTALLS = "installs programs"
OF_THE_SYSTEM = "is for a machine of one's own"
OF_A_PROXY = "tests/e2e/test_behind_a_proxy.py runs it"
OF_NODE = "needs Node.js"
OF_FEAST = "is read by Feast: tests/e2e/test_feast_client.py"
NOT_RUN = {
    "README.md: make demo": INSTALLS,
    "docs/start.md: pip install": INSTALLS,
    "docs/examples.md: python examples/quickstart.py": "tests/e2e/test_examples.py runs them",
    "docs/calling.md: const server": OF_NODE,
    "docs/calling.md: npx openapi-typescript": OF_NODE,
    "docs/deployment.md: useradd": OF_THE_SYSTEM,
    "docs/deployment.md: cd /srv/tiffin": OF_THE_SYSTEM,
    "docs/deployment.md: tiffin serve --host 0.0.0.0": OF_THE_SYSTEM,
    "docs/deployment.md: upstream tiffin": OF_A_PROXY,
    "docs/deployment.md: features.example": OF_A_PROXY,
    "docs/deployment.md: FROM python": OF_THE_SYSTEM,
    "docs/migration.md: # feature_store.yaml": OF_FEAST,
    "docs/server.md: # feature_store.yaml": OF_FEAST,
}
"""Page and beginning of each block that is not run, and why."""


def every_block() -> list[Block]:
    return [block for found in EVERY_BLOCK.values() for block in found]


def starts_a_server(document) -> bool:
    return any(
        command.startswith("tiffin serve")
        for block in EVERY_BLOCK[document]
        if block.language == "sh" and block.mark != "not run"
        for command in commands(block)
    )


def pages_to_follow():
    for document, found in EVERY_BLOCK.items():
        if any(block.language for block in found):
            slow = starts_a_server(document) and name_of(document) not in SERVED_AT_ONCE
            yield pytest.param(document, id=name_of(document), marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("document", list(pages_to_follow()))
def test_the_page_can_be_followed(document, tmp_path_factory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with reader(tmp_path_factory.mktemp("home")) as newcomer:
        for block in EVERY_BLOCK[document]:
            newcomer.follow(block)
        assert not newcomer.has_failed, newcomer.said


def test_what_is_not_run_is_listed_here():
    left_out = {f"{block.page}: {block.text}": block.of for block in every_block() if block.mark == "not run"}
    assert len(left_out) == len(NOT_RUN)
    for begins, why in NOT_RUN.items():
        assert [of for block, of in left_out.items() if block.startswith(begins)] == [why], begins


def test_a_block_is_in_a_language_that_is_run_or_the_content_of_a_file():
    for block in every_block():
        # The commands of this page stand each for itself: tests/unit/cli/test_help.py runs them.
        is_of_the_command_line = (block.page, block.language) == ("docs/cli.md", "console")
        is_run = block.language in {"", "python", "sh", "json"} or block.mark in {"file", "not run"}
        assert is_run or is_of_the_command_line, block


@pytest.mark.parametrize(
    "text",
    [
        "tiffin read user/nobody",
        "tiffin ls\nfalse\ntiffin ls",
        "echo somebody | grep -q nobody",
    ],
)
def test_a_command_that_fails_is_noticed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with reader(tmp_path) as newcomer, pytest.raises(AssertionError, match="page:1"):
        newcomer.follow(Block("page", 1, "sh", text))


def test_an_answer_that_is_not_the_one_shown_is_noticed():
    newcomer = Reader(answer='{"rows": [{"mean": 4.5}], "at": "2024-05-01T00:00:00Z"}')
    for shown in ('{"rows": [{"mean": 4.5}], "at": "…"}', '{"rows": "…", "…": "…"}'):
        newcomer.follow(Block("page", 1, "json", shown))
    for shown in ('{"rows": [{"mean": 4.0}], "at": "…"}', '{"rows": [], "…": "…"}', '{"rows": [{"mean": 4.5}]}'):
        with pytest.raises(AssertionError, match="the answer is"):
            newcomer.follow(Block("page", 1, "json", shown))
    assert not is_as_shown(1, "1")


def test_a_request_that_is_refused_is_noticed_unless_the_page_shows_how(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = Block("page", 1, "sh", "curl http://127.0.0.1:1/")
    with reader(tmp_path) as newcomer:
        newcomer.follow(refused)
        with pytest.raises(AssertionError, match="before it came"):
            newcomer.follow(Block("page", 2, "python", "pass"))


def test_commands_of_several_lines_are_one():
    text = "curl a \\\n  -d '{\n  \"b\": 1}'\n# a comment\n\ntiffin ls  # it's fine\n"
    assert commands(Block("page", 1, "sh", text)) == ["curl a \\\n  -d '{\n  \"b\": 1}'", "tiffin ls  # it's fine"]
