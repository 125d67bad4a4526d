from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

import pytest

from tiffin.access import keys, keys_of
from tiffin.errors import ConflictError, CorruptData, InvalidInputError, InvalidName, NotFoundError


@pytest.fixture
def store_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "LOOK_EVERY_S", 0)
    return keys_of(tmp_path)


def test_a_secret_opens_what_its_key_covers_and_no_other_does(store_keys):
    key, secret = store_keys.create("dashboard", ["read"], ["user", "movie_*"])
    assert store_keys.verify(secret) == key
    assert key.scopes == ("read",)
    assert key.groups == ("user", "movie_*")
    for wrong in ("", secret[:-1], secret + "x", secret.upper(), "tfn_", "\ud800"):
        assert store_keys.verify(wrong) is None


def test_the_file_tells_no_secret_and_is_its_owners_alone(store_keys, tmp_path):
    _, secret = store_keys.create("a", ["admin"])
    file = tmp_path / "config" / "keys.json"
    assert secret.startswith("tfn_")
    assert len(secret) > 40
    assert secret.removeprefix("tfn_") not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store_keys.revoke("a")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_revoked_key_is_refused_by_those_who_had_read_it_too(store_keys, tmp_path):
    _, secret = store_keys.create("a", ["read"])
    running = keys_of(tmp_path)
    assert running.verify(secret) is not None
    store_keys.revoke("a")
    assert running.verify(secret) is None
    assert [key.revoked is not None for key in running.keys()] == [True]  # noqa: SIM118 - no dict


def test_a_store_whose_last_key_was_revoked_is_closed_not_open(store_keys):
    assert not store_keys.exist()
    store_keys.create("a", ["read"])
    store_keys.revoke("a")
    assert store_keys.exist()


def test_a_key_ends_when_it_expires(store_keys, monkeypatch):
    until = datetime.now(UTC) + timedelta(hours=1)
    _, secret = store_keys.create("a", ["read"], expires=until)
    assert store_keys.verify(secret) is not None

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return until

    monkeypatch.setattr(keys, "datetime", Later)
    assert store_keys.verify(secret) is None


def test_a_name_is_free_again_once_its_key_was_revoked(store_keys):
    _, old = store_keys.create("a", ["read"])
    with pytest.raises(ConflictError):
        store_keys.create("a", ["read"])
    store_keys.revoke("a")
    _, new = store_keys.create("a", ["write"])
    assert store_keys.verify(old) is None
    assert store_keys.verify(new).scopes == ("write",)
    assert len(store_keys.keys()) == 1


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (InvalidName, ("../a", ["read"])),
        (InvalidInputError, ("a", ["root"])),
        (InvalidInputError, ("a", [])),
        (InvalidInputError, ("a", "read")),
        (InvalidInputError, ("a", ["read"], ["us/er"])),
        (InvalidInputError, ("a", ["read"], [])),
        (InvalidInputError, ("a", ["read"], ["*"], datetime(2020, 1, 1))),
    ],
)
def test_what_cannot_be_a_key_is_refused_and_makes_no_file(store_keys, tmp_path, error, arguments):
    with pytest.raises(error):
        store_keys.create(*arguments)
    assert not (tmp_path / "config" / "keys.json").exists()


def test_revoking_what_is_not_there_names_what_is(store_keys):
    store_keys.create("dashboard", ["read"])
    with pytest.raises(NotFoundError, match="did you mean 'dashboard'"):
        store_keys.revoke("dashbord")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"keys": [{"key": {}}]}', b'{"keys": [], "more": 1}'])
def test_a_damaged_file_lets_nobody_in(store_keys, tmp_path, damage):
    _, secret = store_keys.create("a", ["read"])
    (tmp_path / "config" / "keys.json").write_bytes(damage)
    with pytest.raises(CorruptData):
        store_keys.verify(secret)
    with pytest.raises(CorruptData):
        store_keys.exist()


def test_a_look_at_every_request_is_not_needed(tmp_path, monkeypatch):
    store_keys = keys_of(tmp_path)
    _, secret = store_keys.create("a", ["read"])
    looks = []
    stat_of = type(store_keys._fs).stat
    monkeypatch.setattr(type(store_keys._fs), "stat", lambda self, path: looks.append(path) or stat_of(self, path))
    for _ in range(100):
        assert store_keys.verify(secret) is not None
    assert len(looks) < 10
