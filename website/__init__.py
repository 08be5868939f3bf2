"""The documentation site: docs/ and what is generated beside it, as static pages. `make docs` builds it."""
