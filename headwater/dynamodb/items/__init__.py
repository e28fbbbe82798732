"""Items: attribute values, numbers, keys, and how one is changed with everything that hangs on it."""
