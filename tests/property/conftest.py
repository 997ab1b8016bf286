"""No deadline for one example; a pull request tries few examples, always the same."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("pull-request", deadline=None, derandomize=True, max_examples=60)
settings.register_profile("nightly", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "pull-request"))
