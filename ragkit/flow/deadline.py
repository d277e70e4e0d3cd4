"""How a deadline is kept: each request to a server is given the time that is left.

- A call after its deadline is not made: `DeadlinePassed` is raised in its place.
- Async drivers cancel a call at its deadline.
- Sync drivers cannot interrupt a call.  Clients that wait for a server ask for `time_left` and use it as the
  timeout of the request; the HTTP client in `ragkit.models.http`, which all `openai` components share, does
  so.  Between the chunks of a stream the deadline is checked, and the stream is closed; one that stalls is
  ended by the timeout of its request.
- Calls that compute (search, embedding, fusion) are short, and the deadline is checked between them.  Sync
  drivers wait for a component of another make until it returns or its own timeout ends it.
- A timeout error that a call raises after its deadline becomes `DeadlinePassed`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ragkit.errors import DeadlinePassed
from ragkit.flow.calls import Call, making


def time_left(made: Call | None = None) -> float:
    """Seconds until the deadline of *made*, or of the call being made here; `math.inf` if it has none."""
    made = made or making.get()
    if made is None or made.deadline == math.inf:
        return math.inf
    return max(made.deadline - time.monotonic(), 0.0)


def deadline_passed(made: Call | None = None) -> DeadlinePassed:
    """The error that says so, for *made* or the call that is being made here."""
    made = made or making.get()
    stage = f"stage '{made.stage}'" if made else "a call"
    return DeadlinePassed(f"the deadline passed before {stage} was over; give it longer with 'deadline'")


@contextmanager
def inside(made: Call) -> Iterator[float | None]:
    """Run the body as part of *made*; yields the seconds until its deadline, or None if it has none."""
    if not (left := time_left(made)):
        raise deadline_passed(made)
    token = making.set(made)
    try:
        yield None if left == math.inf else left
    except Exception as error:
        if not time_left(made) and _is_timeout(error):
            raise deadline_passed(made) from error
        raise
    finally:
        making.reset(token)


def _is_timeout(error: Exception) -> bool:
    from langchain_core.exceptions import ModelTimeoutError

    return isinstance(error, TimeoutError | ModelTimeoutError)
