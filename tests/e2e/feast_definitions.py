"""Run in Feast's own environment, in an applied repository: writes what its registry knows."""

import json
import sys

from feast import FeatureStore

store = FeatureStore(repo_path=".")
views = [*store.list_batch_feature_views(), *store.list_label_views()]
keys = {entity.name: entity.join_key for entity in store.list_entities()}


def source_of(view):
    source = getattr(view, "batch_source", None) or view.source
    return getattr(source, "batch_source", None) or source


known_views = {
    view.name: {
        "keys": [keys[name] for name in view.entities if name in keys],
        "features": [[field.name, str(field.dtype)] for field in view.features],
        "ttl_s": view.ttl.total_seconds() if view.ttl else 0,
        "online": view.online,
        "description": view.description,
        "owner": view.owner,
        "tags": {name: value for name, value in view.tags.items() if not name.startswith("tiffin_")},
        "said": {field.name: [field.description, dict(field.tags)] for field in view.features},
        "path": source_of(view).path,
        "timestamp": source_of(view).timestamp_field,
        "created": source_of(view).created_timestamp_column,
    }
    for view in views
}
known_services = {
    service.name: [
        [projection.name, [field.name for field in projection.features]]
        for projection in service.feature_view_projections
        if projection.name in known_views
    ]
    for service in store.list_feature_services()
}
sys.stdout.write(json.dumps({"views": known_views, "services": known_services}))
