import importlib
import subprocess
import sys

import pytest

import refinery


def test_every_public_name_has_a_home_and_is_listed_in_order() -> None:
    names = set(refinery.__all__) - {"__version__"}

    assert sorted(refinery._HOME) == sorted(names)
    for name in names:
        home = importlib.import_module(refinery._HOME[name])
        assert getattr(refinery, name) is getattr(home, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'recrod'"):
        refinery.recrod  # noqa: B018  # looking it up is the test


@pytest.mark.slow
def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; import refinery; print([m for m in sys.modules if m.startswith('refin')])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "['refinery']"
