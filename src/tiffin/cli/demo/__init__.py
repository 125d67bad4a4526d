"""What `tiffin demo` does; every figure that it reports is measured on the way.

::

    course       all of it, in its order
    storing      tables saved, read back through both caches, saved again
    so_far       what was known just before each rating: the tables, the spine, and the mistake to compare with
    prediction   the training frame: joined, locked, made again, recomputed, learned from
    recount      the same features by plain Python loops
    model        a small model of the ratings, and its errors
    serving      a feature service, online reads and their latency, a rating that arrives
    calling      the store served over HTTP by a process of its own, and called
    report, prediction_report, serving_report
                 all of it for people
"""
