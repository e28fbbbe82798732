"""Topic rules of a template at work."""
