"""The guides' import paths for the feature store."""
