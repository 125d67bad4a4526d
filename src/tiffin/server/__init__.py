"""The REST server: Tiffin's verbs over HTTP.

::

    options      what can be set about a server, and its limits
    edge         what every request passes: protocol and connections off the sockets; guard with hosts, keys, bodies,
                 logs and metrics
    app          the routes behind the guard; problems and status  what errors are answered with
    requests     one request to the store: its parameters, its body; caller  who asks, and what they may do
    answers      what is answered with rows
    online       online reads, in our format and in Feast's
    document     the OpenAPI document of all routes, made of the types in parameters, and its pages
    routes       by what they are about
    run          one or several processes that serve a store; supervisor  looks after several
    guides       the guides' class for a server
"""
