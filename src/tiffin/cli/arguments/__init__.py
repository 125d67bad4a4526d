"""What is written on the command line, read."""
