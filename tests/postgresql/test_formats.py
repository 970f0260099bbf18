"""Versions of the format: refused, and told apart."""

import pytest

import datastore
from datastore import BackendUnusableError, ConfigurationError
from datastore.formats import FORMAT

pytestmark = pytest.mark.server("postgresql")


@pytest.mark.parametrize(
    ("comment", "error"),
    [
        (f"agent-datastore, format {FORMAT + 1}", BackendUnusableError),
        ("agent-datastore, format 1", ConfigurationError),
        ("our agents", ConfigurationError),
    ],
)
def test_another_format_is_refused_and_left_as_it_was(url, sql, agent, comment, error):
    agent.set("k", 1)
    sql(f"COMMENT ON TABLE agent_data_store IS '{comment}'")
    with pytest.raises(error, match="left untouched"):
        datastore.connect(url)
    assert sql("SELECT obj_description('agent_data_store'::regclass)") == [(comment,)]


def test_an_administrators_words_beside_it_do_no_harm(url, sql, agent):
    agent.set("k", 1)
    sql(f"COMMENT ON TABLE agent_data_store IS 'Ours; see the wiki (agent-datastore, format {FORMAT})'")
    with datastore.connect(url) as store:
        assert store.agent("u", "a").get("k") == 1
