"""A plan that has gone out of date, built again by the exporter, in a process of its own.

A builder takes memory, time and now and then a crash: none of that belongs into a job. The engine imports no
exporter; it asks for the same command that a user would type.
"""

import subprocess
import sys

from stemwright.engine.errors import PlanRefused
from stemwright.engine.runtimes.plans import Recipe

LONGEST = 3600.0  # seconds; a billion parameters take some minutes


def command(recipe: Recipe) -> list[str]:
    """What builds a plan as this one was built, with everything else as it is now."""
    return [
        *(sys.executable, "-m", "stemwright.engine.cli", "export", "plan", recipe.model),
        *("--builder", recipe.builder, "--cards", ",".join(recipe.cards), "--precision", recipe.precision),
        *("--largest-batch", str(recipe.profile[2])),
    ]


def run(recipe: Recipe, refusal: PlanRefused) -> None:
    """Build it; where that fails PlanRefused says both why it was out of date and why it stays so."""
    try:
        done = subprocess.run(command(recipe), capture_output=True, text=True, timeout=LONGEST, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlanRefused(f"{refusal} Building it again failed ({error}).") from refusal
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]
        raise PlanRefused(f"{refusal} Building it again failed: {said}") from refusal
