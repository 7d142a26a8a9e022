"""Programs that tests start for themselves: those that are there already, else Debian's."""

import shutil

from tools.setup.machine import SetupError, apt_install, step

PACKAGES = {
    "redis-server": "redis-server",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "systemd-analyze": "systemd",
}
"""By program."""


def missing() -> list[str]:
    """The programs that are not there. Runs nothing."""
    return [program for program in PACKAGES if shutil.which(program) is None]


def install() -> None:
    """Install what is missing. Raises SetupError that says what to do."""
    for program in missing():
        try:
            with step(f"{program}, which tests start"):
                apt_install(PACKAGES[program])
        except SetupError as error:
            raise SetupError(
                f"tests need {program}; install the package {PACKAGES[program]}.\n  {error}"
            ) from error
