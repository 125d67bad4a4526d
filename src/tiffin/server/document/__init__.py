"""The OpenAPI document of all routes, and the pages that show it."""
