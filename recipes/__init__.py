"""How models that we ship were made: run from a checkout, not part of the installed package."""
