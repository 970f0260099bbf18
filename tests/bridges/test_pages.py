"""The examples of the pages of bridges run, with the frameworks that they are for."""

import pytest

from tests.docs.pages import OF_ADK, OF_BRIDGES, page_name, run
from tests.docs.test_examples import beside_the_page

__all__ = ["beside_the_page"]

RUN_HERE = [page for page in OF_BRIDGES if page not in OF_ADK]


@pytest.mark.parametrize("page", RUN_HERE, ids=page_name)
def test_the_examples_of_a_page_run_and_show_what_is_true(page, beside_the_page):
    run(page, "python", "console")
