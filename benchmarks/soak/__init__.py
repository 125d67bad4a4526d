"""The soak: a server and three programs beside it under a steady load for an hour, to see what grows or slows."""
