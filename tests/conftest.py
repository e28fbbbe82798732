"""Settings of every test."""

import contextlib

# The deployed code's own tests run without Hypothesis too: docs/backend.md, "Tests".
with contextlib.suppress(ModuleNotFoundError):
    from hypothesis import settings

    # A busy machine takes longer over an example than Hypothesis allows; pytest-timeout bounds each test.
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")
