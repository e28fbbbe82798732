"""The AWS APIs behind one endpoint."""
