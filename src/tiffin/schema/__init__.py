"""Words of the data model: names, dtypes, what a table declares, and when two schemas fit (pure)."""
