"""Custom authorizers: functions that say who a device is and what it may do."""
