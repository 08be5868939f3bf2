"""Endpoints: what is known of rerank servers, for whatever talks to one: formats, addresses, probes and faults."""
