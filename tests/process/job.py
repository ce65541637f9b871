"""A job as a launcher starts it: processes with the variables of torchrun, Open MPI or Slurm, for
the tests of this folder. Ends only what it started.
"""

import os
import socket
import subprocess
import time

from program import MOEBIUS, Program, end

LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_", "TORCHELASTIC_", "OMPI_", "PMIX_",
             "SLURM_")


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}


def free_port():
    """A port with nobody behind it, nor behind the one after it."""
    while True:
        with socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                next_one.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def torchrun(rank, size, port, job="a"):
    return {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": job}


def slurm(rank, size, port, job="7"):
    return {"SLURM_PROCID": rank, "SLURM_NTASKS": size, "SLURM_LOCALID": rank,
            "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1", "SLURM_JOB_ID": job, "SLURM_STEP_ID": 0,
            "MASTER_PORT": port}


def open_mpi(rank, size, port, job="prterun-host-1@1"):
    return {"OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_SIZE": size,
            "OMPI_COMM_WORLD_LOCAL_RANK": rank, "PMIX_NAMESPACE": job,
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


class Job(Program):
    def start_rank(self, variables, *words):
        environment = clean_environment()
        environment.update({name: str(value) for name, value in variables.items()})
        process = subprocess.Popen([MOEBIUS, "run", *words], cwd=self.folder, text=True,
                                   env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(end, process)
        return process

    def start_job(self, family, size, *words, job=None, ranks=None, port=None):
        port = port or free_port()
        more = {} if job is None else {"job": job}
        return {rank: self.start_rank(family(rank, size, port, **more), *words)
                for rank in (range(size) if ranks is None else ranks)}

    def ends(self, processes, seconds=60):
        """rank → (exit code, stdout, stderr)."""
        until = time.monotonic() + seconds
        ended = {}
        for rank, process in processes.items():
            out, err = process.communicate(timeout=max(0.1, until - time.monotonic()))
            ended[rank] = (process.returncode, out, err)
        return ended

    def all_end_with(self, code, processes):
        """Every rank has the code, and all but rank 0 say nothing on standard output."""
        ended = self.ends(processes)
        self.assertEqual({rank: one[0] for rank, one in ended.items()},
                         {rank: code for rank in ended}, ended)
        for rank, (_, out, err) in ended.items():
            if rank != 0:
                self.assertEqual(out, "", f"rank {rank}")
            for line in err.splitlines():
                self.assertRegex(line, rf"^moebius: rank {rank} of \d+: ")
        return ended
