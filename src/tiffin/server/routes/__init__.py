"""The routes, by what they are about: each only asks the store and answers what it says."""

from tiffin.server.routes import (
    catalogue,
    constraints,
    derived,
    evolution,
    feast,
    features,
    historical,
    online,
    operations,
    services,
    tables,
    training,
    versions,
)

ROUTERS = (
    online.router,
    feast.reads,
    feast.router,
    features.router,
    tables.router,
    evolution.router,
    versions.router,
    constraints.router,
    catalogue.router,
    derived.router,
    historical.router,
    services.router,
    training.router,
    operations.router,
)
"""All of them."""
