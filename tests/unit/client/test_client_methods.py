"""Both clients have the store's methods: described once, typed exactly, and the same as at home."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import tiffin
from tiffin.errors import InvalidInputError
from tiffin.store import FeatureStore

CLIENTS = [tiffin.FeatureStoreClient, tiffin.AsyncFeatureStoreClient]
AT_HOME = {
    "backup",
    "cache_stats", "files", "glance", "init", "on_demand_of", "plans", "recall", "snapshot", "start_api_server",
    "tables_of",
}  # fmt: skip
"""About the folder and the process, which are the server's."""
ONLY_HERE = {"get_feature", "save_feature", "get_batch_features", "get_feature_info"}
"""The guides'."""
LOCAL_PARAMETERS = {"once", "progress", "server", "use_cache"}


def methods(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(kind: type, name: str) -> list[tuple]:
    signature = inspect.signature(getattr(kind, name))
    found = [(one.name, one.kind, one.default, str(one.annotation)) for one in signature.parameters.values()]
    return [one for one in found[1:] if one[0] not in LOCAL_PARAMETERS]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_has_the_methods_of_a_store(client):
    assert methods(client) - ONLY_HERE == methods(FeatureStore) - AT_HOME


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", sorted(methods(FeatureStore) - AT_HOME))
def test_parameters_and_defaults_are_those_of_the_store(client, name):
    assert parameters(client, name) == parameters(FeatureStore, name)


@pytest.mark.parametrize("client", CLIENTS)
def test_every_method_says_what_it_does(client):
    for name in methods(client):
        method = getattr(client, name)
        assert method.__name__ == name
        assert method.__doc__, name


def test_wrong_arguments_are_refused_as_by_any_function():
    client = tiffin.connect("http://127.0.0.1:1")
    with pytest.raises(TypeError, match="colums"):
        client.read("user/ratings", colums=["mean"])
    with pytest.raises(TypeError, match="reference"):
        client.read()


def test_clients_say_where_the_server_is_and_nothing_else():
    client = tiffin.FeatureStoreClient(base_url="https://store.example/tiffin", key="tfn_secret")
    assert repr(client) == "FeatureStoreClient('https://store.example/tiffin')"
    assert "tfn_secret" not in repr(vars(client)) + repr(client._transport.options)
    assert repr(tiffin.AsyncFeatureStoreClient()) == "AsyncFeatureStoreClient('http://127.0.0.1:8001')"
    assert "127.0.0.1:8001" in repr(tiffin.connect())


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8001",
        "ftp://a",
        "http://",
        "",
        "http://a:b@c",
        "http://a/?x=1",
        "http://a:99999",
        "http://a..b",
        "file:///etc",
        7,
        None,
    ],
)
def test_addresses_are_checked(url):
    with pytest.raises(InvalidInputError) as caught:
        tiffin.connect(url)
    assert caught.value.hint
    assert "a:b" not in str(caught.value)


@pytest.mark.parametrize("key", ["tfn_a\r\nX-Evil: 1", "tfn é", "a b", "x" * 2000])
def test_a_key_that_is_none_is_not_shown(key):
    with pytest.raises(InvalidInputError) as caught:
        tiffin.connect("http://127.0.0.1:1", key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    ["p:3128", "https://p", "http://", "http://u:secret@p:99999", "http://[::1", "http://p secret:1", "http://p/?x"],
)
def test_proxies_are_checked_and_not_shown(proxy):
    with pytest.raises(InvalidInputError, match="proxy") as caught:
        tiffin.connect("http://store.example", proxy=proxy)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"answer_bytes": 0},
        {"timeout_s": 0},
        {"read_timeout_s": float("nan")},
        {"retries": -1},
        {"retries": 1.5},
        {"connections": 0},
    ],
)
def test_numbers_are_checked(wrong):
    (name,) = wrong
    with pytest.raises(InvalidInputError, match=name):
        tiffin.connect("http://127.0.0.1:1", **wrong)


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("http://store.example", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("https://store.example", {"http_proxy": "http://p:1"}, None),
        ("https://store.example", {"https_proxy": "http://p:1", "NO_PROXY": "other.example"}, "http://p:1"),
        ("https://store.example", {"https_proxy": "http://p:1", "no_proxy": "a.example, .example"}, None),
        ("https://store.example:99", {"all_proxy": "http://p:1", "no_proxy": "store.example:99"}, None),
        ("http://127.0.0.1:8001", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://localhost:8001", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[::1]:8001", {"HTTP_PROXY": "http://p:1"}, None),
    ],
)
def test_proxies_of_the_environment_are_for_other_machines(url, environment, proxy, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tiffin.connect(url)._transport.options.proxy == proxy
    assert tiffin.connect(url, proxy=None)._transport.options.proxy is None


def test_the_key_of_the_environment_is_used(monkeypatch):
    monkeypatch.setenv("TIFFIN_API_KEY", "tfn_env")
    assert tiffin.connect()._transport.options.key == "tfn_env"
    assert tiffin.connect(key="tfn_arg")._transport.options.key == "tfn_arg"
    monkeypatch.setenv("TIFFIN_API_KEY", "")
    assert tiffin.connect()._transport.options.key is None


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_client_can_be_sent_to_another_process(kind):
    again = pickle.loads(pickle.dumps(kind("http://store.example", key="tfn_k", timeout_s=7, proxy="http://p:1")))
    assert (
        again._transport.options
        == kind("http://store.example", key="tfn_k", timeout_s=7, proxy="http://p:1")._transport.options
    )


def test_making_a_client_needs_no_http_library():
    heavy = {"pandas", "pyarrow", "tiffin.server", "tiffin.store", "urllib3", "zstandard"}
    code = f"import sys, tiffin; tiffin.connect(); assert not {heavy} & set(sys.modules)"
    source = Path(__file__).parents[3] / "src"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(source)}, timeout=60)


@pytest.mark.slow
def test_type_checkers_see_exact_signatures(tmp_path):
    code = """
from typing import assert_type
import tiffin
from tiffin.client import OnlineAnswer
from tiffin.frames import FeatureFrame
from tiffin.tables.catalog import TableInfo


def use(store: tiffin.FeatureStoreClient) -> None:
    assert_type(store.read("a/b", columns=["x"]), FeatureFrame)
    assert_type(store.tables(), list[TableInfo])
    assert_type(store.prepare("a").read([]), OnlineAnswer)
    assert_type(tiffin.connect(timeout_s=3), tiffin.FeatureStoreClient)
    store.read(7)  # type: ignore[arg-type]
    store.read("a/b", colums=["x"])  # type: ignore[call-arg]
    tiffin.connect(timeout=3)  # type: ignore[call-arg]


async def wait(store: tiffin.AsyncFeatureStoreClient) -> None:
    assert_type(await store.save("a/b", []), tiffin.Commit)
    assert_type(await store.get_online_features(["a/b"], []), OnlineAnswer)
    assert_type(await (await store.prepare("a")).read([]), OnlineAnswer)
    await store.drop("a/b", version=3)  # type: ignore[call-arg]
"""
    (tmp_path / "uses.py").write_text(code)
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "mypy", "--config-file", str(root / "pyproject.toml"), str(tmp_path / "uses.py")]
    done = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout
