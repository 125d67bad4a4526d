"""Benchmarks: each case beside what it is compared with, measured alternately in one run."""
