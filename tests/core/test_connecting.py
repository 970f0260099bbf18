"""Opening a store: by URL, by environment, with adapters found by entry point, and errors that say what to do."""

import inspect
import subprocess
import sys
import textwrap

import pytest

import datastore
from datastore import ConfigurationError, DataStore
from datastore.connecting import _STORE_OPTIONS


def test_the_default_is_a_file_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("AGENT_DATASTORE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with datastore.connect() as store:
        assert store.backend.name == "sqlite"
    assert (tmp_path / "agent_data_store.db").exists()


def test_a_store_has_the_same_options_and_defaults_however_it_is_made():
    connecting, making = (inspect.signature(make).parameters for make in (datastore.connect, DataStore))
    assert set(making) - {"backend"} == set(_STORE_OPTIONS)
    assert {name: connecting[name].default for name in _STORE_OPTIONS} == {
        name: making[name].default for name in _STORE_OPTIONS
    }


def test_the_environment_names_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("AGENT_DATASTORE_URL", "memory://")
    with datastore.connect() as store:
        assert repr(store) == "DataStore(backend='memory')"


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        (
            "sqlit:///x.db",
            {},
            r"no backend serves sqlit:// \(did you mean 'sqlite'\?\); installed are .*memory.*sqlite",
        ),
        ("x.db", {}, "not of the form scheme://"),
        ("memory://host", {}, "takes nothing after the slashes"),
        ("memory://?size=3", {}, "memory has no parameter 'size'"),
        ("memory://", {"size": 3}, "memory has no parameter 'size'"),
        ("memory://", {"trackng": "off"}, r"no parameter 'trackng' \(did you mean 'tracking'\?\)"),
        (
            "sqlite:///x.db",
            {"flush_intervall": 1},
            r"no parameter 'flush_intervall' \(did you mean 'flush_interval'\?\)",
        ),
        ("sqlite:///x.db?tracking=off", {}, r"'tracking' is no part of a URL; write datastore.connect\(url, tracking="),
        ("memory://?mod=ro", {}, r"no parameter 'mod' \(did you mean 'mode'\?\)"),
        ("sqlite:///x.db?mode=r", {}, "the parameter 'mode' of the sqlite URL: it must be one of ro, rw"),
        ("sqlite:///x.db?mode=ro", {"mode": "ro"}, "the parameter 'mode' is given twice"),
        ("memory://", {"tracking": "sometimes"}, "tracking is 'sometimes'; it must be one of 'deferred', 'immediate'"),
        ("memory://", {"flush_interval": 0}, "flush_interval is 0; it must be a number of at least"),
        ("memory://", {"flush_interval": "1"}, "flush_interval is '1'"),
        ("memory://", {"max_pending": 0}, "max_pending is 0"),
        ("memory://", {"retry_seconds": float("nan")}, "retry_seconds is nan"),
        ("sqlite:///x.db?syncronous=full", {}, r"no parameter 'syncronous' \(did you mean 'synchronous'\?\)"),
        ("sqlite:///x.db?synchronous=off", {}, "'synchronous' of the sqlite URL: it must be one of normal, full"),
        ("sqlite:///x.db?timeout=long", {}, "'timeout' of the sqlite URL: it must be a number of seconds"),
        ("sqlite://x.db", {}, "write sqlite:///x.db for a path relative"),
        ("sqlite://", {}, "has no file"),
        ("sqlite:///", {}, "has no file"),
        ("sqlite:///a%00b", {}, "has no file"),
    ],
)
def test_what_is_wrong_with_a_url_or_an_option_is_said(url, options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=words):
        datastore.connect(url, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution: a module, and the metadata with its entry point."""

    def install(distribution, scheme, module, source):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[datastore.backends]\n{scheme} = {module}:connect\n")
        monkeypatch.syspath_prepend(tmp_path)

    return install


def test_a_third_partys_adapter_plugs_in_by_its_entry_point(install):
    install(
        "acme-datastore",
        "acme",
        "acme_datastore",
        """
        from datastore_memory import MemoryBackend

        def connect(url):
            backend = MemoryBackend()
            backend.name = "acme of " + url.host
            backend.size = url.parameter("size", int, 1)
            url.check_all_taken()
            return backend
        """,
    )
    with datastore.connect("acme://tenant?size=3") as store:
        assert isinstance(store, DataStore)
        assert store.backend.name == "acme of tenant"
        store.agent("u", "a").set("k", 1)


def test_an_adapter_whose_client_is_missing_says_which_extra_to_install(install):
    install("bare-datastore", "bare", "bare_datastore", "import a_client_that_is_not_there")
    with pytest.raises(
        ConfigurationError, match=r"bare backend cannot be imported .*a_client_that_is_not_there"
    ) as info:
        datastore.connect("bare://")
    assert "install what bare-datastore needs" in str(info.value)
    assert isinstance(info.value.__cause__, ImportError)


def test_one_of_our_own_names_the_extra(install, monkeypatch):
    from importlib.metadata import EntryPoint

    from datastore.connecting import _missing

    point = EntryPoint("couchdb", "datastore_couchdb:connect", "datastore.backends")
    assert "pip install 'agent-datastore[couchdb]'" in _missing(point, ImportError("No module named 'couchdb3'"))


CLIENTS = {"couchdb3", "httpx", "boto3", "google"}
SELDOM_NEEDED = {
    "asyncio", "concurrent", "difflib", "email", "hashlib", "http", "logging", "pydantic", "random", "socket", "ssl",
    "typer", "rich", "click", "pytest", "zipfile",
}  # fmt: skip
"""What takes long to import, and few programs need."""


CODEC = {"json", "orjson", "platform", "uuid"}
"""What encodes and decodes, and what it imports."""


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after some statements."""
    return set(
        subprocess.run(
            [sys.executable, "-c", f"import sys, datastore; {code}; print(*sorted(sys.modules))", *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
    )


def test_importing_the_package_loads_nothing_that_only_some_programs_need():
    loaded = loaded_by("pass")
    assert "datastore.agent" in loaded
    assert (CLIENTS | SELDOM_NEEDED | {"sqlite3", "urllib", "importlib.metadata"}) & loaded == set()
    assert (CODEC | {"ast", "dataclasses", "dis", "inspect", "tokenize"}) & loaded == set()
    queries = {name for name in loaded if name.startswith(("datastore.queries.", "datastore.adapters"))}
    assert {name for name in loaded if name.startswith("datastore.interfaces")} | queries == set()


def test_opening_a_store_loads_what_encodes_and_decodes():
    """So that no call has to, whose time is limited, or which is on an event loop's thread or in a forked process."""
    assert loaded_by('datastore.connect("memory://")') >= CODEC
    opened = "from datastore_memory import MemoryBackend; datastore.DataStore(MemoryBackend())"
    assert loaded_by(opened) >= CODEC


@pytest.mark.parametrize(
    "code",
    [
        "assert values.encode([1]) == '[1]'",
        "assert values.encode(2**70) == ' 1180591620717411303424'",
        "assert values.encode_parsed({'a': 1}) == '{\"a\":1}'",
        "assert values.size_of([1]) == 3",
        "assert values.exact_text([1]) == '[1]'",
        "assert values.decode('[1]') == [1]",
        "assert values.decode(' 1180591620717411303424') == 2**70",
        "assert values.decode_all(['[1]', '2']) == [[1], 2]",
    ],
)
def test_values_are_encoded_and_decoded_where_no_store_was_opened(code):
    loaded = loaded_by(f"from datastore import values; assert 'json' not in sys.modules; {code}; {code}")
    assert "json" in loaded


def test_setting_and_getting_loads_nothing_that_only_other_calls_need(tmp_path):
    code = (
        """a = datastore.connect("sqlite:///" + sys.argv[1]).agent("u", "a"); a.set("k", 1); assert a.get("k") == 1"""
    )
    loaded = loaded_by(code, str(tmp_path / "new.db"))
    assert "datastore_sqlite.writing" in loaded
    assert (CLIENTS | SELDOM_NEEDED | {"importlib.metadata"}) & loaded == set()
    assert {"datastore.queries.tree", "datastore_sqlite.planning", "datastore_sqlite.legacy"} & loaded == set()


def test_everything_public_can_be_imported_from_the_package():
    for name in datastore.__all__:
        assert getattr(datastore, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = datastore.nothing
