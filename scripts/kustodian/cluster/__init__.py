"""A cluster on this machine to try things out on: a real API server and a real Argo CD, without containers."""
