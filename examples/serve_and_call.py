"""Serve a store over HTTP, call it with the client and with plain JSON, and stop it.

    python examples/serve_and_call.py [FOLDER]

The store goes into FOLDER, or into a temporary one that is removed at the end. Needs `pip install 'tiffin[server]'`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import tiffin


def first_document(lines: Iterable[str]) -> str:
    """Read the JSON document that says where the server listens; it comes once requests are answered."""
    document = ""
    for line in lines:
        document += line
        if line == "}\n":
            return document
    sys.exit("the server did not start; what it said is above")


@contextmanager
def served(folder: str) -> Iterator[str]:
    """Serve a store from a process of its own; gives the URL, and ends the server when the block ends."""
    command = [sys.executable, "-m", "tiffin", "--store", folder, "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield json.loads(first_document(server.stdout))["url"]
        finally:
            server.terminate()


def main(folder: str) -> None:
    """Save a table, serve it, and ask for it in two ways."""
    store = tiffin.FeatureStore(folder)
    store.save(
        "user/ratings", [{"user_id": 7, "mean": 4.5}, {"user_id": 8, "mean": 3.0}], entity="user_id", online=True
    )
    store.create_service("ranker", ["user/ratings:mean"])

    with served(folder) as url:
        print("serving at", url)

        with tiffin.connect(url) as remote:  # the store's own methods, results and errors
            print(remote.read("user/ratings", where=[("mean", ">=", 4)]).to_polars())
            remote.push("user/ratings", [{"user_id": 9, "mean": 5.0}])
            print(remote.get_online_features("ranker", [{"user_id": 7}, {"user_id": 9}]).to_dict())

        body = json.dumps({"features": "ranker", "entity_rows": [{"user_id": 8}, {"user_id": 1}]}).encode()
        asked = Request(f"{url}/online", data=body, headers={"Content-Type": "application/json"})
        with urlopen(asked, timeout=10) as answer:
            print(json.load(answer)["rows"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made_for_now:
            main(made_for_now)
