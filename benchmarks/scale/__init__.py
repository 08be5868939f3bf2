"""Replicas of the server, by simulation: rates that are measured here, arrivals that are given, and what they cost."""
