"""A store in a forked child: it has connections of its own, and nothing of what its parent has sent."""

import os

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
class Forks:
    """On a database that is asked over connections of the store's own."""

    def test_a_child_and_its_parent_go_on_side_by_side(self, agent, backend):
        agent.set("count", 0)
        for number in range(5):
            child = os.fork()
            if not child:
                status = 1
                try:
                    agent.increment("count")
                    status = 0 if agent.get("count") >= number and backend._writer.unanswered == {} else 2
                finally:
                    os._exit(status)
            agent.increment("count")
            assert os.waitpid(child, 0)[1] == 0
        assert agent.get("count") == 10
