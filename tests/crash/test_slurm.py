"""The batch script: an array of runners under a stand-in for Slurm's commands, and under a real one-node Slurm where it is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import TOY
from watching import assert_same, done_steps, wait_for

from specsci.core.errors import UserError
from specsci.execute.slurm import Batch, slurm_script

SBATCH = """\
#!/bin/bash
# Runs every task of an array at once, as Slurm would on as many nodes.
last=$(sed -n 's/^#SBATCH --array=0-//p' "$1")
for task in $(seq 0 "$last"); do
  SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task bash "$1" > "$OUT/$task.log" 2>&1 &
  echo $! > "$OUT/$task.pid"
done
wait
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """`sbatch` and `scontrol` that need no cluster; what was queued again stands in `requeued`."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sbatch").write_text(SBATCH)
    (commands / "scontrol").write_text('#!/bin/bash\necho "$@" >> "$OUT/requeued"\n')
    for command in commands.iterdir():
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("OUT", str(tmp_path))
    return tmp_path


def script(folder: Path, study: Path, store: Path, runners: int, options: tuple[str, ...] = ()) -> Path:
    path = folder / "batch.sh"
    path.write_text(slurm_script("tiny study", [str(study), "--workers", "1"], store, Batch(runners, 60, options), command=TOY))
    return path


def test_an_array_of_runners_shares_the_work(slurm, finished_toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_PAUSE_S", "0.03")
    store = tmp_path / "a store"
    done = subprocess.run(["sbatch", str(script(tmp_path, finished_toy.study, store, 3))], check=False)
    said = [(tmp_path / f"{task}.log").read_text() for task in range(3)]
    assert done.returncode == 0 and all("done: " in text for text in said), said
    assert sum(int(text.split("done: ")[1].split()[0]) for text in said) == 59, "each step once"
    assert_same(store, finished_toy.store)


@pytest.mark.slow
def test_a_task_that_is_asked_to_stop_waits_in_the_queue_again(slurm, finished_toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_PAUSE_S", "0.05")
    store = tmp_path / "store"
    path = script(tmp_path, finished_toy.study, store, 1)
    queue = subprocess.Popen(["sbatch", str(path)])
    wait_for(lambda: done_steps(store) >= 5)
    os.kill(int((tmp_path / "0.pid").read_text()), signal.SIGTERM)
    queue.wait(60)
    assert (tmp_path / "requeued").read_text() == "requeue 7_0\n"
    assert "interrupted: finished steps are kept" in (tmp_path / "0.log").read_text() and done_steps(store) < 59
    assert subprocess.run(["sbatch", str(path)], check=False).returncode == 0
    assert_same(store, finished_toy.store)


@pytest.mark.slow
def test_a_failure_is_the_tasks_exit_code_and_is_not_queued_again(slurm, finished_toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FAILS", "1")
    path = script(tmp_path, finished_toy.study, tmp_path / "store", 1)
    done = subprocess.run(["bash", str(path)], env={**os.environ, "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}, check=False, capture_output=True)
    assert done.returncode == 1 and not (tmp_path / "requeued").exists()


def test_options_of_sbatch_are_passed_on_and_nothing_else_can_be_slipped_in(tmp_path):
    text = slurm_script("a\nname; rm -rf /", ["it's.yaml"], tmp_path, Batch(2, 90, ("--gres=gpu:1", "--time=01:00:00", "--exclusive")))
    assert "#SBATCH --gres=gpu:1\n#SBATCH --time=01:00:00\n#SBATCH --exclusive\nset -u" in text
    assert "--signal=B:TERM@90" in text and "--array=0-1" in text and "--job-name=specsci-a_name__rm_-rf__\n" in text
    assert "'it'\"'\"'s.yaml'" in text and "\nname" not in text
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    for wrong, why in (("--gres=gpu:1\nrm -rf /", "no option"), ("-p gpu", "no option"), ("--array=0-9", "sets --array itself")):
        with pytest.raises(UserError, match=why):
            slurm_script("s", ["x"], tmp_path, Batch(options=(wrong,)))


CONF = """\
ClusterName=one
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MinJobAge=60
KillWait=30
NodeName={host} CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def one_node(tmp_path, monkeypatch):
    """A real Slurm of one node (Debian: `apt-get install slurm-wlm munge`), ended with the test."""
    wanted = ("sbatch", "slurmctld", "slurmd", "munged")
    if any(shutil.which(name) is None for name in wanted) or os.geteuid() != 0:
        pytest.skip("needs root and Slurm: apt-get install slurm-wlm munge")
    folder = tmp_path / "slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    host = os.uname().nodename.partition(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, folder=folder, cores=os.cpu_count()))
    monkeypatch.setenv("SLURM_CONF", str(conf))
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "munged", "--force"], check=True)
    daemons = [subprocess.Popen(["slurmctld", "-D"], stderr=subprocess.DEVNULL), subprocess.Popen(["slurmd", "-D", "-N", host], stderr=subprocess.DEVNULL)]
    wait_for(lambda: "idle" in subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False).stdout, 60)
    yield folder
    subprocess.run(["scancel", "--user=root"], check=False)
    for daemon in daemons:
        daemon.terminate()
        daemon.wait(30)
    subprocess.run(["pkill", "munged"], check=False)


def queued() -> str:
    return subprocess.run(["squeue", "-h", "-r", "-o", "%K %T %r"], capture_output=True, text=True, check=False).stdout


@pytest.mark.slow
def test_a_real_slurm_runs_the_array_and_queues_again_what_it_asked_to_stop(one_node, finished_toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_PAUSE_S", "0.1")
    store = tmp_path / "store"
    (store / "slurm").mkdir(parents=True)
    path = script(tmp_path, finished_toy.study, store, 2, ("--ntasks=1", "--cpus-per-task=1"))
    job = subprocess.run(["sbatch", "--parsable", str(path)], capture_output=True, text=True, check=True).stdout.strip()
    wait_for(lambda: done_steps(store) >= 10, 120)
    subprocess.run(["scancel", "--batch", "--signal=TERM", f"{job}_0"], check=True)  # what the limit sends
    wait_for(lambda: "interrupted" in (store / "slurm" / f"{job}_0.log").read_text(), 60)
    wait_for(lambda: done_steps(store) >= 59, 240)
    wait_for(lambda: "R" not in queued() or not queued(), 60)
    assert_same(store, finished_toy.store)
    assert "interrupted" in (store / "slurm" / f"{job}_0.log").read_text()
