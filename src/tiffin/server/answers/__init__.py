"""What is answered with rows: the format that the caller accepts, whole or as it is made."""
