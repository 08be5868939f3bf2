"""The HTTP routes, each an Endpoint: one table gives routing, the OpenAPI document, public paths and the docs."""
