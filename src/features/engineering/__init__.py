"""The guides' import paths for feature engineering."""
