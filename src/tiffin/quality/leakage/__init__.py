"""Leakage: features that know what was not yet known at the label's time."""
