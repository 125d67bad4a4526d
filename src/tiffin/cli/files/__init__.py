"""Frames and pictures in and out of files and streams."""
