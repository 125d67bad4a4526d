"""Feature engineering: frames of raw records in, frames of features out; knows nothing of the store."""
