"""What of the machine is shown to a confined interpreter."""

import sys
from pathlib import Path

from refinery.safety.sandbox import places


def test_the_interpreter_s_own_installation_is_shown() -> None:
    shown = places.of_program(Path(sys.executable))
    real = Path(sys.executable).resolve()

    assert any(real.is_relative_to(path) for path in (*shown, *map(Path, places.SYSTEM)))


def test_a_forged_environment_shows_no_other_file(tmp_path: Path) -> None:
    keys = tmp_path / "home" / ".ssh"
    keys.mkdir(parents=True)
    (keys / "id_rsa").write_text("secret")
    environment = tmp_path / "repo" / "env"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text(f"home = {keys}\n")
    (environment / "bin" / "id_rsa").write_text("#!/bin/sh\n")
    (environment / "bin" / "python").symlink_to(keys / "id_rsa")

    for name in ("id_rsa", "python"):
        shown = places.of_program(environment / "bin" / name)
        assert keys / "id_rsa" not in shown
        assert not any(path.is_relative_to(tmp_path / "home") for path in shown)
