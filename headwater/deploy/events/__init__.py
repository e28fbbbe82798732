"""Event buses and schedules."""
