"""Run in Feast's own environment: JOBS, a JSON list of [repository, spine, output, features], says what to ask."""

import json
import sys
from pathlib import Path

import pandas as pd
from feast import FeatureStore

for repository, spine, output, features in json.loads(Path(sys.argv[1]).read_text()):
    store = FeatureStore(repo_path=repository)
    answer = store.get_historical_features(entity_df=pd.read_parquet(spine), features=features)
    answer.to_df().to_parquet(output)
