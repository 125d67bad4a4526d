"""The guides' import paths; everything here only re-exports from `tiffin`."""
