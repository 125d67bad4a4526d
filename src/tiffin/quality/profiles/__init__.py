"""Profiles: what the values of a version look like, column by column."""
