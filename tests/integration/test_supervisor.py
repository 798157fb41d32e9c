"""The supervisor with real processes: it keeps them running, and leaves none behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from typer.testing import CliRunner

from regions.commands import app
from regions.topology import load_topology
from regions.world.control import World
from regions.world.embedded import embedded_plan
from regions.world.errors import (
    BusyPortError,
    LockHeldError,
    NotReadyError,
    NotRunningError,
    RefusedError,
)
from regions.world.lifecycle import bring_down, check_ports, claim, wait_until_ready
from regions.world.plan import AliveFor, AnswersHttp, Plan, ProcessSpec, ProcessState
from regions.world.precedence import AHEAD, BEHIND, session_niceness
from regions.world.procfs import command_of, session_members
from regions.world.settings import WorldSettings

REGION = "us-east-1"
# One process that has a child of its own, as gunicorn has its workers.
WITH_CHILD = "import os, time; os.fork(); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "home"
    yield root
    bring_down(root)


def spec(home: Path, part: str, *arguments: str, **more: object) -> ProcessSpec:
    fields: dict[str, object] = {"ready": AliveFor(seconds=0.1), "stop_timeout_s": 0.5} | more
    return ProcessSpec(
        name=f"{REGION}/{part}",
        region=REGION,
        command=(sys.executable, "-S", *arguments),
        environment={"STEPDOWN_REGION": REGION},
        log=str(home / REGION / "logs" / f"{part}.log"),
        **fields,
    )


def sleeper(home: Path, part: str = "sleeper") -> ProcessSpec:
    return spec(home, part, "-c", WITH_CHILD)


def web(home: Path) -> ProcessSpec:
    port = free_port()
    return spec(
        home, "web", "-m", "http.server", str(port), "--bind", "127.0.0.1",
        ready=AnswersHttp(host="127.0.0.1", port=port, path="/"), port=port,
    )  # fmt: skip


def start(home: Path, *specs: ProcessSpec) -> World:
    with claim(home) as claimed:
        world = claimed.launch(Plan(processes=specs))
    wait_until_ready(world, timeout_s=10, on_status=lambda _: None)
    return world


def sessions(world: World) -> set[int]:
    status = world.status()
    return {status.supervisor_pid} | {one.pid for one in status.processes if one.pid}


def running(which: set[int]) -> list[int]:
    return [pid for session in which for pid in session_members(session)]


def guard_of(world: World) -> int:
    pid = world.status().supervisor_pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(child) for child in children if "guard.py" in command_of(int(child)))


def eventually(what: Callable[[], object], *, within_s: float = 5.0) -> None:
    end_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_port_base() -> int:
    for base in range(41_000 + 100 * (os.getpid() % 100), 60_000, 100):
        try:
            for offset in (0, 1, 10):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


def command_line(home: Path, *arguments: str, **environ: str):
    return CliRunner().invoke(app, [*arguments, "--home", str(home)], env=environ)


def test_processes_start_in_order_and_stop_without_leaving_anything(home):
    world = start(home, sleeper(home), web(home))
    left = sessions(world) | {guard_of(world)}
    assert [one.state for one in world.status().processes] == [ProcessState.READY] * 2
    assert bring_down(home) == ["everything has stopped."]
    eventually(lambda: not running(left))
    assert not (home / "supervisor.sock").exists()
    assert not (home / "supervisor.json").exists()
    with pytest.raises(NotRunningError):
        World.connect(home)


def test_a_process_waits_until_the_one_before_it_is_ready(home):
    never = spec(home, "never", "-c", WITH_CHILD,
                 ready=AnswersHttp(host="127.0.0.1", port=free_port(), path="/"))  # fmt: skip
    with claim(home) as claimed:
        world = claimed.launch(Plan(processes=(never, sleeper(home))))
    eventually(lambda: world.process(never.name).state is ProcessState.STARTING)
    assert world.process(f"{REGION}/sleeper").state is ProcessState.WAITING
    with pytest.raises(
        NotReadyError, match=r"runs with pid \d+ but does not become ready; its log"
    ):
        wait_until_ready(world, timeout_s=0.3, on_status=lambda _: None)


def test_a_killed_supervisor_leaves_no_process(home):
    world = start(home, sleeper(home), web(home))
    left = sessions(world) | {guard_of(world)}
    assert len(running(left)) == 5  # the supervisor, its guard, two processes, one grandchild
    os.kill(world.status().supervisor_pid, signal.SIGKILL)
    eventually(lambda: not running(left))


def test_what_is_left_without_supervisor_and_guard_is_ended_at_the_next_start(home):
    world = start(home, sleeper(home))
    left = sessions(world)
    supervisor = world.status().supervisor_pid
    os.kill(guard_of(world), signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not session_members(supervisor) and len(running(left)) == 1)
    with claim(home, timeout_s=5) as claimed:
        assert claimed.clean_up() == (
            "an earlier supervisor had ended without stopping:"
            " ended 1 leftover process and removed its files."
        )
        assert claimed.clean_up() is None
    assert not running(left)


def test_a_supervisor_that_does_not_answer_is_killed_with_its_processes(home):
    world = start(home, sleeper(home))
    left = sessions(world)
    os.kill(world.status().supervisor_pid, signal.SIGSTOP)
    assert bring_down(home)[0] == "the supervisor did not answer and was killed."
    eventually(lambda: not running(left))


def test_a_second_supervisor_is_refused_and_the_first_goes_on(home):
    world = start(home, sleeper(home))
    pid = world.status().supervisor_pid
    with pytest.raises(LockHeldError, match=f"{home} is in use by pid {pid}"), claim(home):
        pass
    assert World.connect(home).status().supervisor_pid == pid


def test_bringing_down_what_does_not_run_is_harmless(home):
    assert bring_down(home) == ["nothing was running."]
    assert not home.exists()


def test_a_crashed_process_is_started_again_and_counted(home):
    world = start(home, sleeper(home))
    before = world.process(f"{REGION}/sleeper")
    world.signal(before.name, "SIGKILL")
    eventually(lambda: world.process(before.name).restarts == 1)
    after = world.wait_ready(before.name, timeout_s=5)
    assert after.pid != before.pid
    assert after.last_exit == -signal.SIGKILL
    assert not session_members(before.pid)  # the crashed process's child went with it


def test_a_held_process_stays_down_until_it_is_released(home):
    world = start(home, sleeper(home))
    name = f"{REGION}/sleeper"
    before = world.process(name)
    world.hold(name)
    held = world.process(name)
    assert (held.state, held.pid, held.restarts) == (ProcessState.HELD, None, 0)
    assert not session_members(before.pid)
    time.sleep(0.3)  # longer than the shortest wait before a restart
    assert world.process(name).state is ProcessState.HELD
    world.release(name)
    assert world.wait_ready(name, timeout_s=5).restarts == 0


def test_a_process_that_is_released_with_an_environment_has_it_until_it_is_released_again(home):
    world, name = start(home, sleeper(home)), f"{REGION}/sleeper"

    def has():
        pid = world.wait_ready(name, timeout_s=5).pid
        return b"STEPDOWN_WEAKENED=breakers" in Path(f"/proc/{pid}/environ").read_bytes()

    world.hold(name)
    world.release(name, {"STEPDOWN_WEAKENED": "breakers"})
    assert has()
    world.hold(name)
    world.release(name)
    assert not has()


def test_what_follows_goes_behind_and_what_answers_ahead_where_it_may(home):
    answers = spec(home, "answers", "-c", WITH_CHILD, niceness=AHEAD)
    follows = spec(home, "follows", "-c", WITH_CHILD, niceness=BEHIND)
    world = start(home, answers, follows)
    found = {}
    for one in (answers, follows):
        pid = world.process(one.name).pid
        every = {os.getpriority(os.PRIO_PROCESS, member) for member in session_members(pid)}
        found[one.name] = every | {session_niceness(pid)} - {None}
    may = os.geteuid() == 0
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert found == {answers.name: {AHEAD if may else own}, follows.name: {BEHIND}}


def test_a_process_that_ignores_sigterm_is_killed_when_its_time_is_up(home):
    world = start(home, spec(home, "stubborn", "-c", STUBBORN))
    world.hold(f"{REGION}/stubborn", "SIGTERM")
    assert world.process(f"{REGION}/stubborn").last_exit == -signal.SIGKILL


def test_a_paused_process_keeps_its_pid_and_can_still_be_stopped(home):
    world = start(home, web(home))
    name = f"{REGION}/web"
    pid = world.process(name).pid
    world.pause(name)
    assert world.process(name).state is ProcessState.PAUSED
    world.resume(name)
    assert (world.process(name).state, world.process(name).pid) == (ProcessState.READY, pid)
    world.pause(name)
    assert bring_down(home) == ["everything has stopped."]
    assert not session_members(pid)


def test_a_request_that_cannot_be_is_refused_with_a_reason(home):
    world = start(home, sleeper(home))
    with pytest.raises(RefusedError, match="there is no process 'nobody'; there are us-east-1/sl"):
        world.hold("nobody")
    with pytest.raises(RefusedError, match="there is no signal 'SIGNOTHING'"):
        world.signal(f"{REGION}/sleeper", "SIGNOTHING")
    world.hold(f"{REGION}/sleeper")
    with pytest.raises(RefusedError, match="us-east-1/sleeper does not run"):
        world.pause(f"{REGION}/sleeper")


def test_a_process_that_ends_again_and_again_is_named_with_the_end_of_its_log(home):
    broken = spec(home, "broken", "-c", "raise SystemExit('the model is missing')",
                  ready=AliveFor(seconds=5))  # fmt: skip
    with pytest.raises(NotReadyError, match="us-east-1/broken has ended 3 times") as caught:
        start(home, broken)
    assert str(home / REGION / "logs" / "broken.log") in str(caught.value)
    assert caught.value.log_tail[-1] == "the model is missing"


def test_a_busy_port_is_told_with_who_needs_it_and_who_has_it(home):
    server = web(home)
    holder = socket.create_server(("127.0.0.1", server.port))
    with holder, pytest.raises(BusyPortError) as caught:
        check_ports(Plan(processes=(server,)))
    assert str(caught.value).startswith(
        f"port {server.port} is busy: us-east-1/web needs it and pid {os.getpid()} ("
    )
    check_ports(Plan(processes=(server,)))


def test_the_embedded_datastore_wants_the_password_and_keeps_its_data_over_a_restart(home):
    settings = WorldSettings(home=home, port_base=free_port_base(), regions=(REGION,))
    datastore = embedded_plan(settings, load_topology()).processes[0]
    world = start(home, datastore)
    password = (home / "secrets" / "datastore").read_text()
    at = {"host": "127.0.0.1", "port": datastore.port, "retry": Retry(NoBackoff(), 0)}
    with redis.Redis(**at, password=password) as client:
        client.set("kept", "yes")
    with redis.Redis(**at) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get("kept")
    world.hold(datastore.name, "SIGKILL")
    world.release(datastore.name)
    world.wait_ready(datastore.name, timeout_s=5)
    with redis.Redis(**at, password=password) as client:
        assert client.get("kept") == b"yes"


def test_up_says_in_one_sentence_which_port_is_busy_and_starts_nothing(home):
    base = free_port_base()
    with socket.create_server(("127.0.0.1", base + 1)):
        done = command_line(home, "up", "--regions", "1", STEPDOWN_PORT_BASE=str(base))
    assert done.exit_code == 2
    assert f"stepdown: port {base + 1} is busy: us-east-1/operations needs it" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(NotRunningError):
        World.connect(home)


def test_a_setting_that_cannot_be_is_told_in_one_sentence_and_as_one_object(home):
    done = command_line(home, "status", "--json", STEPDOWN_WORKERS="none")
    assert done.exit_code == 2
    assert "workers" in json.loads(done.stdout)["error"]
    assert len(done.stderr.splitlines()) == 1


def test_status_is_one_when_nothing_runs(home):
    done = command_line(home, "status", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"running": False, "processes": [], "regions": {}}


def test_status_is_zero_when_all_is_ready_and_one_when_something_is_down(home):
    world = start(home, sleeper(home))
    done = command_line(home, "status", "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert said["processes"][0]["state"] == "ready"
    assert said["regions"] == {REGION: None}  # no operations listener here
    world.hold(f"{REGION}/sleeper")
    done = command_line(home, "status")
    assert done.exit_code == 1
    assert "held" in done.stdout


def test_down_stops_everything_and_says_so(home):
    left = sessions(start(home, sleeper(home)))
    done = command_line(home, "down", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"said": ["everything has stopped."]})
    eventually(lambda: not running(left))
