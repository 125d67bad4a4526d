"""Constraints: what the rows of a table must satisfy; as declared, as written, as checked and as Delta has them."""
