"""Properties are tried with the same examples in every run; `make soak` takes new ones and says which."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("test", derandomize=not os.environ.get("SOAK"))
settings.load_profile("test")
