"""Argo CD: what its server says of Applications, and what this repository declares of them."""
