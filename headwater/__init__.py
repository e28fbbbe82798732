"""Headwater runs an AppSync, IoT Core and Kinesis SAM template on one machine."""

__version__ = "0.1.0"
