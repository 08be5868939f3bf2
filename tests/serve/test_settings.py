"""Settings: the file, the environment and flags, the later before the earlier, and no open door by accident."""

import re
from pathlib import Path

import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.settings import SETTINGS, ServerSettings
from qwen3_reranker.serve.settings_sources import PREFIX, read_settings


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "server.toml"
    path.write_text(
        'port = 9001\ntimeout = 5\n[[models]]\nsource = "nano"\nid = "one"\nprice = "0.05"\n'
        '[models.options]\nprecision = "int8"\n',
        encoding="utf-8",
    )
    return str(path)


def test_nothing_given_serves_the_bundled_model_to_this_machine_alone() -> None:
    settings = read_settings({})
    assert (settings.host, settings.keys, [model.name for model in settings.models]) == ("127.0.0.1", None, ["nano"])


def test_the_environment_goes_before_the_file_and_flags_before_both(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings({}, file).port == 9001
    monkeypatch.setenv(f"{PREFIX}PORT", "9002")
    assert read_settings({}, file).port == 9002
    settings = read_settings({"port": 9003}, file)
    assert (settings.port, settings.timeout) == (9003, 5)
    assert settings.models[0].options == {"precision": "int8"}


def test_the_file_may_be_named_by_the_environment(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}CONFIG", file)
    assert read_settings({}).models[0].name == "one"


def test_models_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}MODELS", '[{"source": "nano", "aliases": ["rerank-v3.5"]}]')
    assert read_settings({}).models[0].aliases == ("rerank-v3.5",)


WRONG = {
    "prot = 1": "unknown setting 'prot': did you mean 'port'? there are host, port, ",
    "port = 70000": "port must be at most 65535, got 70000",
    "port = 'x'": "port must be a valid integer",
    "timeout = 0": "timeout must be above 0, got 0",
    "timeout = nan": "timeout must be above 0, got nan",
    "host = ' '": "host must name",
    "models = []": "models must hold",
    "[[models]]\nprise = 1": "unknown field of models.0 'prise': did you mean 'price'?",
    "[[models]]\nprice = -1": "models.0: price must be from 0",
    "[[models]]\nkind = 'x'": "models.0: unknown kind 'x'",
    "log_format = 'xml'": "unknown log_format 'xml': expected one of text, json",
    "port = ": "Invalid value",
    "\x00": "Invalid statement",
    "[[models]]\n[[models]]": "two models are called 'nano'",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_used_is_named_with_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(WRONG[text])) as caught:
        read_settings({}, str(path))
    assert "wrong.toml: " in str(caught.value)


def test_a_misspelt_variable_is_an_error_that_names_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}PRT", "1")
    with pytest.raises(InputError, match=f"{PREFIX}PRT: unknown setting 'prt': did you mean 'port'"):
        read_settings({})


def test_a_value_from_the_environment_that_cannot_be_used_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f"{PREFIX}PORT", "x")
    with pytest.raises(InputError, match=f"{PREFIX}PORT: port must be a valid integer.*got 'x'"):
        read_settings({})


def test_variables_of_clients_of_kubernetes_and_without_a_value_are_no_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "API_KEY": "qr_live_x",
        "KEY": "qr_live_x",
        # What Kubernetes sets beside a Service called qwen3-reranker.
        "PORT": "tcp://10.0.0.1:8000",
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "8000",
        "SERVICE_PORT_HTTP": "8000",
        "PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "PORT_8000_TCP_ADDR": "10.0.0.1",
        "KEYS": "",
        "TIMEOUT": "",
    }.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    assert read_settings({}) == ServerSettings()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such configuration file"):
        read_settings({}, str(tmp_path / "none.toml"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach_needs_keys_or_a_word_for_it(host: str) -> None:
    with pytest.raises(InputError, match="--keys"):
        read_settings({"host": host})
    assert read_settings({"host": host, "allow_public": True}).is_public
    assert read_settings({"host": host, "keys": "keys.db"}).is_public


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_an_address_of_this_machine_needs_none(host: str) -> None:
    assert not read_settings({"host": host}).is_public


def test_a_pepper_is_in_no_print_of_the_settings_and_in_no_error(tmp_path: Path) -> None:
    assert "hush" not in repr(ServerSettings(pepper="hush"))
    path = tmp_path / "wrong.toml"
    path.write_text("pepper = ['hush']", encoding="utf-8")
    with pytest.raises(InputError, match="pepper must be a valid string") as caught:
        read_settings({}, str(path))
    assert "hush" not in str(caught.value)


DOCS = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")


def test_the_documentation_lists_every_setting() -> None:
    listed = {
        name for row in re.findall(r"^\| (`[^|]+) \|", DOCS, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert listed == set(SETTINGS)


def test_the_documented_file_can_be_used(tmp_path: Path) -> None:
    [text] = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    path = tmp_path / "documented.toml"
    path.write_text(text, encoding="utf-8")
    settings = read_settings({}, str(path))
    assert [model.kind for model in settings.models] == ["reranker", "reranker", "embedder"]
    assert settings.models[0].options == {"precision": "int8"}


@pytest.mark.parametrize("text", ["cors_origins = ['app.example']", "cors_origins = ['https://a.example/path']"])
def test_an_origin_has_a_scheme_and_no_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="cors_origins must hold origins such as"):
        read_settings({}, str(path))


def test_lists_are_separated_by_commas_in_flags_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}ALLOWED_HOSTS", "a.example, b.example")
    settings = read_settings({"cors_origins": "https://a.example,http://b.example:8080"})
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert settings.cors_origins == ("https://a.example", "http://b.example:8080")
