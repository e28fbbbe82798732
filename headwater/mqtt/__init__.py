"""The MQTT broker without its sockets: 3.1.1 and 5, as AWS IoT Core does it or as the specification does."""
