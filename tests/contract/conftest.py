"""Hypothesis draws the same examples in every run; SOAK=1 draws many more."""

import os

from hypothesis import settings

settings.register_profile("contract", derandomize=True, deadline=None, max_examples=100)
settings.register_profile("soak", deadline=None, max_examples=5000)
settings.load_profile("soak" if os.environ.get("SOAK") == "1" else "contract")
