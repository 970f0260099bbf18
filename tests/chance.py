"""Which examples Hypothesis makes: always the same in CI, so that no run fails there by chance, and others elsewhere.

Both profiles are loaded before any test module, and the modules' own ``settings`` inherit from them. Outside CI all
tests of a run share one seed. The run prints it, and prints it again at the end if something has failed. With this seed
the same examples are made again, wherever in a test they are asked for.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, settings

_EVERYWHERE = {
    "database": None,  # a run depends on no run before it
    "deadline": None,  # time decides no test,
    "suppress_health_check": [HealthCheck.too_slow],  # nor how long examples take to make on a busy machine
    "print_blob": True,
}
settings.register_profile("ci", derandomize=True, **_EVERYWHERE)
settings.register_profile("random", derandomize=False, **_EVERYWHERE)
# For tests/mutation, which asks whether a test fails and for no smaller example: looking for one takes minutes.
settings.register_profile("mutants", derandomize=True, phases=[Phase.explicit, Phase.generate], **_EVERYWHERE)
settings.load_profile("ci" if os.environ.get("CI") else "random")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed, before Hypothesis's own plugin reads the option; workers of pytest-xdist get the option."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))


def pytest_report_header(config: pytest.Config) -> str:
    return f"examples: {_which(config)}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"The examples of Hypothesis were {_which(config)}")


def _which(config: pytest.Config) -> str:
    if settings.default.derandomize:
        return "the fixed ones of CI; --hypothesis-profile=random makes others"
    return f"random ones; the same again with --hypothesis-seed={config.option.hypothesis_seed}"
