"""Running a piece of a test in a forked child."""

import os
import traceback


def in_a_child(work):
    """Fork, run something in the child, and fail if it failed there."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except:  # noqa: E722  # whatever it was, the child must not return into the test run
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "it failed in the child; see the captured output"
