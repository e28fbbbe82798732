"""Run validated operations: compile a plan, resolve its fields, complete the response."""
