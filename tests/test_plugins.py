from importlib.metadata import EntryPoint

import pytest

from refinery import plugins
from refinery.errors import PluginError

ROOMS = (
    *("adapters", "agents.playbook", "cli.commands", "codebase.edits", "detectors", "embedders"),
    "safety.rules",
)


@pytest.mark.parametrize("room", ROOMS)
def test_every_plug_in_of_a_room_loads_and_says_what_it_is(room: str) -> None:
    loaded = plugins.load_all(room)

    assert loaded
    for name, module in loaded.items():
        summary = plugins.summary(room, name)
        assert summary
        assert (module.__doc__ or "").startswith(summary)


def test_names_are_sorted_and_leave_out_private_files() -> None:
    found = plugins.names("detectors")

    assert found == sorted(found)
    assert not [name for name in found if name.startswith("_")]


def test_a_misspelt_name_is_answered_with_the_near_one() -> None:
    with pytest.raises(PluginError, match="named 'dmeo'") as caught:
        plugins.load("cli.commands", "dmeo")

    assert caught.value.hint == "did you mean 'demo'?"


def test_a_name_unlike_any_is_answered_with_all() -> None:
    with pytest.raises(PluginError) as caught:
        plugins.load("embedders", "zzzzzz")

    assert caught.value.hint.startswith("one of: ")


def test_a_missing_library_is_answered_with_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = EntryPoint("guest", "library_that_is_not_there:plugin", "refinery.embedders")
    monkeypatch.setattr(plugins, "_guests", lambda room: {"guest": guest})

    with pytest.raises(PluginError, match="library_that_is_not_there") as caught:
        plugins.load("embedders", "guest")

    assert caught.value.hint.startswith("pip install library_that_is_not_there")


def test_another_distribution_joins_a_room_by_an_entry_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = EntryPoint("guest", "refinery.clock", "refinery.embedders")
    monkeypatch.setattr(plugins, "_guests", lambda room: {"guest": guest})

    assert "guest" in plugins.names("embedders")
    assert plugins.load("embedders", "guest").__name__ == "refinery.clock"
    assert plugins.summary("embedders", "guest") == ""
