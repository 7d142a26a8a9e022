"""The service under a real systemd, from its installation to its removal: one story, told in order."""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.nspawn.machine import Machine, until
from tests.nspawn.root import ENVIRONMENT

pytestmark = pytest.mark.timeout(900)

PROGRAM = f"{ENVIRONMENT}/bin/orchestrator"
SETTINGS = "/etc/orchestrator/orchestrator.toml"
BROWSER = "/usr/lib/chromium/chromium-headless-shell"
PASSWORD = "correct-horse-battery"
SITE = f"""\
[Service]
ExecStart={ENVIRONMENT}/bin/python -m orchestrator.demo --port 8701 --data /srv/murmur/data \
--admin-token-file /srv/murmur/token --accounts-file /srv/murmur/accounts.json
"""
DAEMON = """\
[sites.murmur]
profile = "microblog"
base_url = "http://127.0.0.1:8701"
[[accounts]]
name = "ada"
site = "murmur"
username = "ada"
password_file = "ada.password"
[jobs.health_monitor]
every_s = 5
[log]
level = "info"
"""
JOBS = '''\
"""Jobs that are in the way."""
import time
import trio
from orchestrator.jobs import Outcome, Run, Tools, done, job

@job(every_s=86400)
async def hang(run: Run, tools: Tools) -> Outcome:
    time.sleep(3600)  # the whole loop stands still
    return done("")

@job(every_s=86400)
async def linger(run: Run, tools: Tools) -> Outcome:
    await trio.sleep(8)
    return done("stayed")
'''


def status(machine: Machine) -> str:
    return machine.show("StatusText")


def until_status(machine: Machine, start: str) -> str:
    return until(
        lambda: said if (said := status(machine)).startswith(start) else "",
        f"the status begins with {start}",
        lambda: (status(machine), machine.journal()[-3000:]),
    )


def ctl(machine: Machine, *words: str) -> str:
    return machine.run(PROGRAM, "ctl", *words)


def state(machine: Machine) -> tuple[str, str]:
    return machine.show("ActiveState"), machine.show("SubState")


def figure(text: str) -> None:
    print(text)  # noqa: T201 - pytest -rP shows it


def left_of(machine: Machine, before: dict[int, str]) -> dict[int, str]:
    now = machine.processes()
    return {pid: args for pid, args in before.items() if now.get(pid) == args}


def check_whole(processes: dict[int, str]) -> None:
    """Daemon, driver, browser and database are all there."""
    text = "\n".join(processes.values())
    assert all(
        name in text for name in ("orchestrator run", "/node", "chromium-headless-shell", "postgres")
    ), text


def test_installing_shows_each_step_and_then_does_it(machine: Machine) -> None:
    shown = machine.run(PROGRAM, "service", "install", "--dry-run")
    assert "would write /etc/systemd/system/orchestrator.service" in shown
    assert machine.ask("systemctl", "cat", "orchestrator").returncode != 0
    machine.run(PROGRAM, "service", "install")
    assert "nothing to do" in machine.run(PROGRAM, "service", "install")
    for name in ("orchestrator.service", "orchestrator.socket"):
        assert machine.run("systemctl", "is-enabled", name).strip() == "enabled"
    verified = machine.ask("systemd-analyze", "verify", "orchestrator.service", "orchestrator.socket")
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    judged = machine.run("systemd-analyze", "security", "--no-pager", "orchestrator.service")
    exposure = re.search(r"Overall exposure level for orchestrator.service: ([\d.]+)", judged)
    assert exposure is not None
    assert float(exposure[1]) <= 2.0


def test_it_is_ready_with_its_secrets_and_its_socket(machine: Machine) -> None:
    machine.write("/etc/systemd/system/murmur.service", SITE)
    machine.write("/srv/murmur/token", "token-of-the-operator")
    machine.write("/srv/murmur/accounts.json", json.dumps([{"name": "ada", "password": PASSWORD}]))
    packages = next((machine.root / ENVIRONMENT.lstrip("/")).glob("lib/python3*/site-packages"))
    inside = Path("/") / packages.relative_to(machine.root)
    machine.write(f"{inside}/in_the_way.py", JOBS)
    machine.write(
        f"{inside}/in_the_way-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: in-the-way\nVersion: 1\n"
    )
    machine.write(
        f"{inside}/in_the_way-1.dist-info/entry_points.txt", "[orchestrator.jobs]\nown = in_the_way\n"
    )
    machine.write(SETTINGS, DAEMON)
    machine.write("/etc/orchestrator/credentials/ada.password", PASSWORD, 0o600)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "murmur")
    begun = machine.ask("systemctl", "start", "orchestrator")
    assert begun.returncode == 0, machine.journal()
    assert state(machine) == ("active", "running")
    until_status(machine, "All is well.")
    check_whole(machine.processes())
    socket = machine.run("stat", "-c", "%U:%G %a", "/run/orchestrator/control.sock").strip()
    assert socket == "orchestrator:orchestrator 660"
    assert "All is well." in ctl(machine, "status")
    assert machine.run("stat", "-c", "%U %a", "/var/lib/orchestrator").strip() == "orchestrator 700"


@dataclass(frozen=True)
class Facts:
    """What the kernel says of a process."""

    namespaces: frozenset[str]
    filters: int
    capabilities: str
    uid: str


def facts(machine: Machine, pid: int) -> Facts | None:
    """None for one that is gone meanwhile."""
    places = machine.ask("readlink", *(f"/proc/{pid}/ns/{kind}" for kind in ("user", "pid", "net")))
    status = machine.ask("cat", f"/proc/{pid}/status")
    if places.returncode or status.returncode:
        return None
    found = dict(line.split(":\t", 1) for line in status.stdout.splitlines() if ":\t" in line)
    namespaces = frozenset(places.stdout.split())
    return Facts(namespaces, int(found["Seccomp_filters"]), found["CapEff"], found["Uid"].split()[0])


def test_chromium_runs_in_its_sandbox_as_an_ordinary_user(machine: Machine) -> None:
    def a_page() -> Facts | None:
        pages = [pid for pid, args in machine.processes().items() if "--type=renderer" in args]
        return next((found for pid in pages if (found := facts(machine, pid)) is not None), None)

    ctl(machine, "run", "onboarding")
    page = until(a_page, "there is a page")
    [pid] = [pid for pid, args in machine.processes().items() if BROWSER in args and "--type=" not in args]
    main = facts(machine, pid)
    assert page is not None
    assert main is not None
    assert not page.namespaces & main.namespaces
    assert page.filters == main.filters + 1
    assert main.capabilities == "0" * 16
    assert main.uid == page.uid == machine.run("id", "-u", "orchestrator").strip() != "0"
    assert "--no-sandbox" not in " ".join(machine.processes().values())
    until(
        lambda: json.loads(ctl(machine, "status", "--json"))["memory"].get("renderers_bytes", 0),
        "the daemon sees what its pages weigh",
    )


def test_it_is_degraded_with_the_reason_in_its_status_and_recovers(machine: Machine) -> None:
    machine.run("mv", BROWSER, f"{BROWSER}.away")
    machine.run("pkill", "-KILL", "-u", "orchestrator", "-f", BROWSER)
    said = until_status(machine, "Degraded: browser is down")
    assert state(machine) == ("active", "running")
    machine.run("mv", f"{BROWSER}.away", BROWSER)
    until_status(machine, "All is well.")
    figure(f"degraded: {said}")


def test_a_reload_changes_what_can_change_and_a_wrong_one_nothing(machine: Machine) -> None:
    pid, cursor = machine.show("MainPID"), machine.cursor()
    machine.write(SETTINGS, DAEMON.replace('"info"', '"debug"') + "[http]\nport = 8799\n")
    machine.run("systemctl", "reload", "orchestrator")
    said = machine.journal(cursor)
    assert "changed=['log.level']" in said
    assert "at_the_next_start=['http.port']" in said
    told = machine.run("journalctl", "-o", "json", "ORCHESTRATOR_EVENT=settings_reloaded").splitlines()
    assert [(json.loads(one)["_PID"], json.loads(one)["PRIORITY"]) for one in told] == [(pid, "6")]
    machine.write(SETTINGS, DAEMON.replace('"info"', '"loud"'))
    assert machine.ask("systemctl", "reload", "orchestrator").returncode != 0
    assert "log.level = 'loud'" in machine.journal(cursor)
    machine.write(SETTINGS, DAEMON)
    machine.run("systemctl", "kill", "-s", "HUP", "--kill-who=main", "orchestrator")
    until(lambda: machine.journal(cursor).count("settings_reloaded") == 2, "the signal is heard")
    until(lambda: state(machine) == ("active", "running"), "it runs again")
    assert machine.show("MainPID") == pid


def test_one_that_hangs_is_ended_by_the_watchdog_says_where_and_is_started_again(machine: Machine) -> None:
    before, cursor = machine.processes(), machine.cursor()
    restarts = int(machine.show("NRestarts"))
    started = time.monotonic()
    machine.ask(PROGRAM, "ctl", "run", "hang")  # which gets no answer when the loop stands still first
    until(lambda: int(machine.show("NRestarts")) > restarts, "it is started again", machine.journal)
    took_s = time.monotonic() - started
    said = machine.journal(cursor)
    assert "Watchdog timeout" in said
    assert "in_the_way.py" in said
    until_status(machine, "All is well.")
    assert left_of(machine, before) == {}
    figure(f"a hang was ended and the daemon started again after {took_s:.1f} s")


def test_after_kill_9_it_is_started_again_within_5_s_with_nothing_left_over(machine: Machine) -> None:
    before = machine.processes()
    check_whole(before)
    restarts = int(machine.show("NRestarts"))
    killed_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    machine.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", "orchestrator")
    until(lambda: int(machine.show("NRestarts")) > restarts, "it is started again", machine.journal)
    assert left_of(machine, before) == {}
    until_status(machine, "All is well.")
    started_s, ready_s = (
        int(machine.show(name)) / 1e6 - killed_s
        for name in ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    )
    figure(f"after kill -9 it was started again after {started_s:.1f} s and ready after {ready_s:.1f} s")
    assert 0 < started_s < 5  # by systemd's own clock, so it is no matter of how fast this test looks
    check_whole(machine.processes())
    assert left_of(machine, before) == {}


def test_a_stop_drains_and_what_is_stopped_stays_stopped(machine: Machine) -> None:
    before, cursor = machine.processes(), machine.cursor()
    ctl(machine, "run", "linger")
    until(lambda: '"running"' in _job(machine, "linger"), "the job runs")
    machine.run("systemctl", "stop", "--no-block", "orchestrator")
    until_status(machine, "Draining")
    assert state(machine)[0] == "deactivating"
    until(lambda: state(machine) == ("inactive", "dead"), "it has ended", machine.journal)
    assert machine.show("Result") == "success"
    said = machine.journal(cursor)
    assert "cut_off" not in said
    assert "with signal SIGKILL" not in said
    assert left_of(machine, before) == machine.processes() == {}
    asked = machine.ask(PROGRAM, "ctl", "status")
    assert asked.returncode == 3, asked
    assert state(machine) == ("inactive", "dead")
    assert machine.show("ActiveState", "orchestrator.socket") == "inactive"


def _job(machine: Machine, name: str) -> str:
    jobs = json.loads(ctl(machine, "jobs", "--json"))["jobs"]
    return json.dumps(next(job["state"] for job in jobs if job["name"] == name))


def test_wrong_settings_are_not_tried_again(machine: Machine) -> None:
    machine.write(SETTINGS, f"nonsense = 1\n{DAEMON}")
    restarts = machine.show("NRestarts")
    assert machine.ask("systemctl", "start", "orchestrator").returncode != 0
    assert state(machine) == ("failed", "failed")
    assert machine.show("ExecMainStatus") == "2"
    assert machine.show("NRestarts") in (restarts, "0")
    machine.write(SETTINGS, DAEMON)


def test_uninstalling_leaves_what_is_the_operators(machine: Machine) -> None:
    assert "would stop and disable" in machine.run(PROGRAM, "service", "uninstall", "--dry-run")
    said = machine.run(PROGRAM, "service", "uninstall")
    assert "userdel orchestrator" in said
    assert machine.ask("systemctl", "cat", "orchestrator").returncode != 0
    machine.run("test", "-f", SETTINGS)
    machine.run("test", "-d", "/var/lib/orchestrator/postgres")
