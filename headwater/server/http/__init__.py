"""HTTP/1.1 and WebSocket on one port, plain and TLS."""
