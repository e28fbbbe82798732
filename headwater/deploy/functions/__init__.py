"""Functions of a template and what belongs to them."""
