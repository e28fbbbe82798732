"""The sockets of the MQTT broker."""
