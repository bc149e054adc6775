"""A job on two machines: two network namespaces, joined by a cable, that share their host name."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "machine_job.py"
MACHINES = ("rankdet-test-0", "rankdet-test-1")
URL = "tcp://10.77.0.1:29511"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def remove_machines():
    for machine in MACHINES:
        subprocess.run(["ip", "netns", "del", machine], check=False, capture_output=True)


@pytest.fixture
def machines():
    """Make the two namespaces, where this system allows it."""
    if shutil.which("ip") is None:
        pytest.skip("needs the program ip, for network namespaces")
    remove_machines()
    try:
        for machine in MACHINES:
            ip("netns", "add", machine)
        ip("link", "add", "cable0", "netns", MACHINES[0], "type", "veth", "peer", "name", "cable1")
        ip("link", "set", "cable1", "netns", MACHINES[1])
        for number, machine in enumerate(MACHINES):
            ip("-n", machine, "addr", "add", f"10.77.0.{number + 1}/24", "dev", f"cable{number}")
            ip("-n", machine, "link", "set", "lo", "up")
            ip("-n", machine, "link", "set", f"cable{number}", "up")
    except subprocess.CalledProcessError as error:
        remove_machines()
        pytest.skip(f"this system allows no network namespaces: {error.stderr.decode().strip()}")
    yield MACHINES
    remove_machines()


def start(machine, rank, timeout, num_sums=1):
    arguments = [str(SCRIPT), str(rank), URL, str(timeout), str(num_sums)]
    command = ["ip", "netns", "exec", machine, sys.executable, *arguments]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, **output)


def assert_lost(process, lines):
    assert process.returncode == 1
    assert "error: the connection to another process of the job was lost, or one did not" in lines
    assert "Traceback" not in lines


@pytest.mark.slow
def test_machines_by_a_loopback_name_meet_and_a_cut_cable_ends_their_job_in_time(machines):
    jobs = [start(m, rank, timeout=5, num_sums=10_000) for rank, m in enumerate(machines)]
    for job in jobs:
        for _ in range(3):
            while "sum 2" not in job.stdout.readline():
                assert job.poll() is None
    ip("-n", machines[0], "link", "set", "cable0", "down")
    cut = time.monotonic()
    for job in jobs:
        assert_lost(job, job.communicate(timeout=60)[0])
    assert time.monotonic() - cut < 30


@pytest.mark.slow
def test_machine_that_never_comes_ends_the_job_in_the_stated_time(machines):
    job = start(machines[0], rank=0, timeout=5)
    said = job.communicate(timeout=60)[0]
    assert_lost(job, said)
    assert "1/2 clients joined" in said
