"""IoT SQL text and its syntax tree."""
