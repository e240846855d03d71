"""What holds for all tests: nothing is timed."""

from __future__ import annotations

from hypothesis import settings

# Hypothesis would fail an example that takes 200 ms once and less the next
# time: that says how busy the machine was.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
