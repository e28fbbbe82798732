"""Requests: the shape of each operation's input, checked before anything else is looked at."""
