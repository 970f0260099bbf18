"""What a server says of itself, to `datastore doctor`."""

import pytest

pytestmark = pytest.mark.server("couchdb")


@pytest.mark.parametrize(("kept", "reported"), [(b"1000", True), (b"20", False), (b"5", False)])
def test_the_doctor_says_where_more_are_kept(store, proxy, kept, reported):
    def limit(handler, request):
        handler.answer(200, kept)
        return True

    proxy.fail("GET _revs_limit", limit)
    proxy.requests.clear()
    findings = store.backend.examine(0.0)
    assert len(proxy.requests) == 3
    assert (
        any("1,000 revisions" in finding.text and "_revs_limit" in finding.remedy for finding in findings) == reported
    )
    assert any("revisions" in finding.text for finding in store.backend.examine(0.0)) is False
