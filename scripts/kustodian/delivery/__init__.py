"""Delivery: from a checked tree to what Argo CD runs, by way of git."""
