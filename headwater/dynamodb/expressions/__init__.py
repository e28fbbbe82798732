"""Expressions of the item operations: text to tree, tree to closures, compiled once for each text."""
