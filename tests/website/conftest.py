"""The site, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from website.build import build


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "site"
    build(folder)
    return folder
