"""The REST server: Tiffin's verbs over HTTP.

::

    options      what can be set about a server, and its limits
    caller       who asks, and what they may do
    protocol     reading requests off sockets: deadlines; connections  how many there may be
    guard        what every request passes, each as a passage: hosts, keys, bodies, logs, metrics
    app          the routes behind the guard; errors as problems
    call         one request to the store: its parameters, its body, the rights of its caller
    intake       rows that come in; reading, answers, batch  what is answered with rows
    openapi      the document of all routes, made of the types in parameters; pages  how it is shown
    routes       by what they are about
    run          one or several processes that serve a store; supervisor  looks after several
    guides       the guides' class for a server
"""
