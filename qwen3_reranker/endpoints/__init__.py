"""Endpoints: rerank servers, for whatever talks to one: formats, addresses, probes, faults and requests."""
