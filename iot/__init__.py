"""Deployed device event handlers: presence, command replies and timeouts, alarms a device raises."""
