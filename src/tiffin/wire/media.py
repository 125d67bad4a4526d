"""Media types and headers."""

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
CSV = "text/csv"
JSON = "application/json"
PROBLEM = "application/problem+json"
"""RFC 9457."""

IDEMPOTENCY_KEY = "Idempotency-Key"
"""Names one save: sent again with the same key, it lands once."""
REQUEST_ID = "X-Request-ID"
"""Names one request, in the answer and in the server's logs."""
