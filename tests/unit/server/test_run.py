"""What a server's process opens the store with."""

from __future__ import annotations

from tiffin.server import run
from tiffin.server.options import ServerOptions


def test_a_server_notes_no_git_commit_of_the_folder_that_it_was_started_in(tmp_path, monkeypatch):
    """Its callers' code is elsewhere."""
    opened = []
    monkeypatch.setattr(run, "log_failures", lambda: None)
    monkeypatch.setattr(run, "_raise_file_limit", lambda: None)
    monkeypatch.setattr(run, "_serve_here", lambda store, *rest: opened.append(store))
    run.serve(tmp_path, ServerOptions(port=0))
    (store,) = opened
    assert not store.settings.record_code
    assert store.save("g/t", [{"id": 1}], entity="id").code == ""
