"""Derived features: tables made from the events of others, and values computed when they are asked for."""
