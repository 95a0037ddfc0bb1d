"""A worker process that knows the test's method: what `worker_pool` starts in `test_worker_pool`."""

from __future__ import annotations

import pytest
from drift_method import install

from motionbench.worker_process import main

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        main()
