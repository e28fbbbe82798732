"""Tables: what is known about one, how it is made, changed and described."""
