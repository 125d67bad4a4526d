"""The git commit of the code that saves, as git itself names it."""

from __future__ import annotations

import os
import subprocess

import pytest

import tiffin
from tiffin.lineage.code import git_commit

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder, *args: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *who, *args], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return folder


def test_the_commit_is_gits_own_wherever_it_is_kept(repository):
    one = git(repository, "rev-parse", "HEAD")
    (repository / "deep/er").mkdir(parents=True)
    assert git_commit(repository / "deep/er") == one
    git(repository, "pack-refs", "--all")
    assert git_commit(repository) == one
    git(repository, "commit", "-q", "--allow-empty", "-m", "two")
    two = git(repository, "rev-parse", "HEAD")
    assert git_commit(repository) == two != one
    git(repository, "worktree", "add", "-q", "../tree", "-b", "side/branch", one)
    assert git_commit(repository.parent / "tree") == one
    git(repository, "pack-refs", "--all")
    assert git_commit(repository.parent / "tree") == one
    git(repository, "checkout", "-q", "--detach", one)
    assert git_commit(repository) == one


@pytest.mark.parametrize(
    "head", ["", "ref: refs/heads/none", "ref: ../secret", "ref: /etc/passwd", "zz" * 20, "ref: a\0b", b"\xff"]
)
def test_a_repository_without_a_commit_has_none(tmp_path, head):
    (tmp_path / ".git").mkdir()
    (tmp_path / "secret").write_text("a" * 40)
    (tmp_path / ".git/HEAD").write_bytes(head if isinstance(head, bytes) else head.encode())
    assert git_commit(tmp_path) == ""


def test_saves_note_the_commit_unless_told_not_to(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(repository)
    rows = [{"id": 1}]
    store = tiffin.FeatureStore(tmp_path / "store")
    assert store.save("g/t", rows).code == git(repository, "rev-parse", "HEAD")
    assert store.lineage("g/t").nodes[0].code == (store.history("g/t")[0].code,)
    assert tiffin.FeatureStore(tmp_path / "store", record_code=False).save("g/t", rows).code == ""
