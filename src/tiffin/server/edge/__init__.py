"""What stands between sockets and the routes: deadlines, connections, keys, limits, logs and figures."""
