"""Values every layer may use: HTTP messages, transactions, callers, topic filters, ARNs and event patterns."""
