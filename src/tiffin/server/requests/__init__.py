"""What is asked: the parameters, body and caller of a request."""
