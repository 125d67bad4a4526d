"""The guides' server class, over each of the guides' stores."""

from __future__ import annotations

import pandas as pd
import pytest

from app_client import AppClient
from tiffin.server.guides import SimpleFeatureStoreAPI
from tiffin.simple import OptimizedStorage, SimpleFeatureStore


@pytest.mark.parametrize("kind", [OptimizedStorage, SimpleFeatureStore])
def test_the_guides_routes_answer_in_the_guides_shapes(tmp_path, kind):
    storage = kind(tmp_path)
    with AppClient(SimpleFeatureStoreAPI(storage).app) as client:
        assert client.get("/health").json()["status"] == "healthy"
        saved = client.request("POST", "/features/user/prefs", json={"records": [{"entity_id": 7, "likes": "tea"}]})
        assert (saved.json()["rows_saved"], saved.json()["file_path"]) == (1, "features/user/prefs")
        page = client.get("/features/user/prefs?columns=likes&limit=1").json()
        assert (page["data"], page["metadata"]["total_rows"]) == ([{"likes": "tea"}], 1)
        batch = client.request("POST", "/features/batch", json={"feature_names": ["prefs"], "entity_ids": ["7", "8"]})
        assert batch.json()["features"] == {"prefs": [{"entity_id": 7, "likes": "tea"}]}
        assert client.get("/features/user/prefs/info").json()["storage_info"]["exists"]
        assert client.get("/features/user/none").status_code == 404


def test_what_is_saved_beside_the_server_is_served(tmp_path):
    storage = OptimizedStorage(tmp_path)
    with AppClient(SimpleFeatureStoreAPI(storage).app) as client:
        storage.save_feature_data(pd.DataFrame({"a": [1.5, None]}), "g", "t")
        assert client.get("/features/g/t").json()["data"] == [{"a": 1.5}, {"a": None}]
