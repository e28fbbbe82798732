"""AppSync over HTTP and in real time."""
