"""Training frames: a spine with the features of many tables, as they were known at each row's time."""
