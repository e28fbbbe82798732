"""Bytes to MQTT control packets and back, for 3.1.1 and 5."""
