"""Commands that each print a table; every claim of speed, memory or quality is one of their rows."""
