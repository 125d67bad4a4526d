"""The REST server: Tiffin's verbs over HTTP.

::

    options      what can be set about a server, and its limits
    caller       who asks, and what they may do
    protocol     reading requests off sockets: deadlines and caps
    guard        what every request passes: hosts, keys, limits, logs, metrics
    run          one or several processes that serve a store
"""
