"""Simulated devices for load and for trouble, on paho alone: `python -m bench.fleet --help`."""
