"""Online reads over HTTP, past what the framework does for others; in our format and in that of Feast."""
