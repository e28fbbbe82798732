"""Devices: registry, access, APIs and shadows."""
