"""What the broker remembers between packets: sessions, subscriptions, retained messages, and their stored form."""
