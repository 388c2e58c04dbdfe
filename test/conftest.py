"""Settings of all tests; the shared fixtures are in test/fixtures."""

import contextlib

import chromium
import pytest
from hypothesis import settings

pytest_plugins = [f"fixtures.{name}" for name in ("corpus", "data", "pretrained", "models", "training")]
settings.register_profile("busy", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("busy")


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory):
    """Starts Chromium until the end of the module: browse(*options, **values) of `chromium.Browser`."""
    if chromium.PROGRAM is None:
        pytest.skip("no Chromium on PATH: pages are not tried in a browser")
    with contextlib.ExitStack() as started:

        def start(*options, **values):
            browser = chromium.Browser(tmp_path_factory.mktemp("chromium"), *options, **values)
            started.callback(browser.close)
            return browser

        yield start
