"""Drift: whether what is there now is still like what was."""
