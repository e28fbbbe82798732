"""The item operations: one module for each way of reading or writing."""
