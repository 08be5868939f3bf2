"""Accounts: keys, their limits and credit, and what they used."""
