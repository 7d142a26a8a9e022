"""The root directory of the container: a small Debian with a browser, and this checkout's program in /opt.

It is kept below `PLACE`, outside of the repository, and made anew when what it is made of changes. Inside
there is no network: Debian's packages come by debootstrap, those of Python by pip, both here.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tools.setup.machine import run

PLACE = Path(os.environ.get("SYSTEMD_TEST_DIR", "/var/lib/orchestrator-systemd-test"))
ROOT, WHEELS, STAMP = PLACE / "root", PLACE / "wheels", PLACE / "stamp"
REPOSITORY = Path(__file__).parents[2]
REQUIREMENTS = REPOSITORY / "requirements" / "run.txt"
ENVIRONMENT = "/opt/orchestrator/.venv"
WANTED = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}
"""Packages by program, on the machine that runs the tests."""
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "procps"),
    *("python3", "python3-venv", "libatomic1", "chromium-headless-shell"),
)
SUITE = "bookworm"
"""The oldest systemd that the units are for: 252."""
STATE = ("etc/orchestrator", "var/lib/orchestrator", "var/log/orchestrator", "var/log/journal", "srv/murmur")
PIP = ("-q", "--disable-pip-version-check")


def build() -> None:
    """Make the root if there is none of this kind, and put this checkout's program into it."""
    PLACE.mkdir(parents=True, exist_ok=True)
    kind = hashlib.sha256(f"{SUITE} {PACKAGES}".encode() + REQUIREMENTS.read_bytes()).hexdigest()
    if not STAMP.exists() or STAMP.read_text() != kind:
        STAMP.unlink(missing_ok=True)
        _debootstrap()
        _install_packages()
        STAMP.write_text(kind)
    _install_project()
    _forget()


def _debootstrap() -> None:
    if ROOT.exists():
        shutil.rmtree(ROOT)
    run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(ROOT)])


def _install_packages() -> None:
    """As pinned. Their files are fetched by this Python, which must be as new as Debian's for that."""
    version = _chroot("python3", "-c", "import sys; print(*sys.version_info[:2], sep='.')").strip()
    ours = "{}.{}".format(*sys.version_info)
    assert version == ours, f"run this with Python {version}, which the container has"
    shutil.rmtree(WHEELS, ignore_errors=True)  # those of other versions
    fetch = ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(REQUIREMENTS)]
    run([sys.executable, "-m", "pip", "download", *PIP, *fetch, "-d", str(WHEELS)])
    _chroot("python3", "-m", "venv", ENVIRONMENT)
    _pip_install(WHEELS, "--no-deps", *(path.name for path in sorted(WHEELS.glob("*.whl"))))


def _install_project() -> None:
    with tempfile.TemporaryDirectory(dir=PLACE) as place:
        build = ["--no-deps", "--no-build-isolation", "--no-index", "-w", place, str(REPOSITORY)]
        run([sys.executable, "-m", "pip", "wheel", *PIP, *build])
        (wheel,) = Path(place).glob("*.whl")
        _pip_install(Path(place), "--no-deps", "--force-reinstall", wheel.name)


def _pip_install(source: Path, *arguments: str) -> None:
    """Install files of `source`, which is copied into the root for the time being."""
    inside = ROOT / "tmp" / "wheels"
    shutil.copytree(source, inside)
    try:
        named = [f"/tmp/wheels/{one}" if one.endswith(".whl") else one for one in arguments]
        _chroot(f"{ENVIRONMENT}/bin/pip", "install", *PIP, "--no-index", *named)
    finally:
        shutil.rmtree(inside)


def _chroot(*command: str) -> str:
    return run(["chroot", str(ROOT), "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin", "HOME=/root", *command])


def _forget() -> None:
    """Remove what an earlier run has left of the service: units, user, settings, state."""
    units = ROOT / "etc" / "systemd" / "system"
    jobs = (ROOT / ENVIRONMENT.lstrip("/")).glob("lib/python3*/site-packages/in_the_way*")
    for path in (*units.rglob("orchestrator*"), *units.glob("murmur*"), *jobs):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for name in STATE:
        shutil.rmtree(ROOT / name, ignore_errors=True)
    if any(line.startswith("orchestrator:") for line in (ROOT / "etc/passwd").read_text().splitlines()):
        _chroot("userdel", "orchestrator")
    (ROOT / "etc/machine-id").write_text("")  # made at each boot
