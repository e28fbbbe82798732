"""Settings of every test."""

from hypothesis import settings

# A busy machine takes longer over an example than Hypothesis allows; pytest-timeout bounds each test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
