"""What the values of a version look like, whether they drift, and checks before a model is trained on them."""
