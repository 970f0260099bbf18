"""The examples of the page of Google's ADK run, with the framework that it is for."""

import pytest

from tests.docs.pages import OF_ADK, page_name, run
from tests.docs.test_examples import beside_the_page

__all__ = ["beside_the_page"]


@pytest.mark.parametrize("page", OF_ADK, ids=page_name)
def test_the_examples_of_a_page_run_and_show_what_is_true(page, beside_the_page):
    run(page, "python", "console")
