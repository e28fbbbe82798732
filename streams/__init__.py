"""Deployed stream handlers, ingestion and fan-out, with the pure rules beside them."""
