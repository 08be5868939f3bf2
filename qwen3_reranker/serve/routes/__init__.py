"""The HTTP routes. One table of endpoints gives routing, OpenAPI, public paths and docs."""
