"""The client: a store that others serve, with the methods of `tiffin.FeatureStore`, over HTTP.

::

    call         what a request asks and what its answer means, as plain data
    calls/       each method's call, once for both clients
    verbs        from a call's description to a method of both clients
    answer       the answer to an online read
    options      where the server is, who asks, how much patience there is
    route        where connections go, and what every request says
    exchange     requests and answers as bytes, and what becomes of them
    reader       reading an answer from the bytes that come
    attempts     whether and when a call is sent again
    pooled       sending calls from any thread
    concurrent   sending many at once on an event loop
    connection   one connection there
    clients      both clients, from all of these
"""

from tiffin.client.answer import OnlineAnswer
from tiffin.client.clients import AsyncFeatureStoreClient, FeatureStoreClient, connect

__all__ = ["AsyncFeatureStoreClient", "FeatureStoreClient", "OnlineAnswer", "connect"]
