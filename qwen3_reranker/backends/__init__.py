"""Ways to run a Plan. All agree with reference.py within a stated tolerance; none imports another."""
