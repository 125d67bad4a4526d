"""The routes, by what they are about: each only asks the store and answers what it says."""

from tiffin.server.routes import feast, features, historical, online, operations, services, tables, training

ROUTERS = (
    online.router,
    feast.reads,
    feast.router,
    features.router,
    tables.router,
    historical.router,
    services.router,
    training.router,
    operations.router,
)
"""All of them."""
