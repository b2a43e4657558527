"""A Slurm of the tests' own on this machine: a controller and one node with two cores, with their own ports and key."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scontrol", "scancel")
FOLDERS = ("/usr/sbin", "/usr/bin")
CORES = 2
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
CredType=cred/munge
SlurmUser=root
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=10
MinJobAge=300
JobRequeue=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """Why there can be no Slurm here; None if there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    absent = [name for name in PROGRAMS if not _path(name)]
    return f"{', '.join(absent)}: not installed (apt-get install slurm-wlm munge)" if absent else None


@contextmanager
def running():
    """Run a Slurm; inside, the environment lets its commands find it. At the end no process of it is left."""
    place = Path(tempfile.mkdtemp(prefix="slurm"))  # a short path, as that of a socket must be
    former = dict(os.environ)
    daemons = []
    try:
        _write_files(place)
        socket_of_munge = place / "munge.socket"
        daemons.append(_start(place, "munged", "--foreground", "--force", *_munge_files(place)))
        _wait(socket_of_munge.exists, "munged")
        os.environ["SLURM_CONF"] = str(place / "slurm.conf")
        os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *FOLDERS])
        daemons.append(_start(place, "slurmctld", "-D", "-f", place / "slurm.conf"))
        daemons.append(_start(place, "slurmd", "-D", "-f", place / "slurm.conf"))
        _wait(lambda: "idle" in ask("sinfo", "--noheader", "--format=%T"), "slurmd")
        yield place
    finally:
        if len(daemons) == 3:
            ask("scancel", "--me", "--signal=KILL", "--full")
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in reversed(daemons):
            _end(daemon)
        os.environ.clear()
        os.environ.update(former)
        shutil.rmtree(place, ignore_errors=True)


def ask(*words):
    """What a command of Slurm prints; nothing if it fails."""
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=30).stdout


def jobs():
    """The state of each job, by its number like "12_0"."""
    lines = ask("squeue", "--array", "--noheader", "--states=all", "--format=%i %T").splitlines()
    return dict(line.split() for line in lines)


def release(job):
    """Let a requeued job begin at once; Slurm would hold it back for two minutes."""
    _wait(lambda: jobs().get(job) == "PENDING", f"job {job}")
    time.sleep(2)  # slurmd refuses a job whose credential is as old, in seconds, as the end of its former run
    ask("scontrol", "update", f"JobId={job}", "StartTime=now")


def _write_files(place):
    for name in ("state", "spool"):
        (place / name).mkdir()
    key = place / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    place.chmod(0o755)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    controller, daemon = _free_ports(2)
    text = CONFIGURATION.format(
        host=socket.gethostname().partition(".")[0],
        place=place,
        controller=controller,
        daemon=daemon,
        cores=CORES,
        memory=memory // 2,
    )
    (place / "slurm.conf").write_text(text, encoding="utf-8")


def _munge_files(place):
    names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return [f"--{option}={place}/munge.{ending}" for option, ending in names.items()]


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _path(name):
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *FOLDERS]))


def _start(place, name, *words):
    with (place / f"{name}.out").open("w") as output:
        return subprocess.Popen([_path(name), *map(str, words)], stdout=output, stderr=output, start_new_session=True)


def _end(daemon):
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _wait(condition, what):
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} is not ready")
        time.sleep(0.05)
