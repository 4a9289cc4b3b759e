"""Generators of repositories to measure on. The same arguments give the same bytes."""
