#!/usr/bin/python3
"""joined_test.py MOEBIUS: ranks that launchers start, joined by their environment's words.

Processes are started by hand with the variables of torchrun, Open MPI and Slurm: whole jobs, ranks
that die, stop or never come, ports that are taken, two jobs on one port, and interrupts. Ends only
what it started.
"""

import json
import signal
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

from job import Job, clean_environment, free_port, open_mpi, slurm, torchrun
from program import MOEBIUS, TRACE

class WholeJobs(Job):
    def test_every_launchers_words_make_a_world_of_two(self):
        for family in (torchrun, slurm, open_mpi):
            with self.subTest(family.__name__):
                ended = self.all_end_with(0, self.start_job(family, 2, "smoke/two-ranks"))
                self.assertRegex(ended[0][1], r"PASS .*gloo 2 processes +26 rows as the golden")
                self.assertIn("2 passed, 0 failed, 2 skipped, 0 errors", ended[0][1])

    def test_a_world_of_four_over_a_set_skips_what_does_not_fit(self):
        processes = self.start_job(torchrun, 4, "smoke", "--json", "-")
        ended = self.all_end_with(0, processes)
        rows = [json.loads(line) for line in ended[0][1].splitlines()]
        verdicts = {}
        for row in rows[:-1]:
            key = (row["scenario"], row["run"]["communicator"])
            verdicts.setdefault(key, set()).add((row["verdict"], row["reason"]))
        self.assertEqual(verdicts[("smoke/uneven-experts", "gloo")], {("passed", None)})
        reason = "its world has 2 ranks (dp 2), the job has 4 (RANK=0, WORLD_SIZE=4)"
        self.assertEqual(verdicts[("smoke/two-ranks", "gloo")], {("skipped", reason)})
        local = {why for _, why in verdicts[("smoke/uneven-experts", "local")]}
        self.assertIn("threads of one process", local.pop())

    def test_lines_of_a_scenario_are_held_against_each_other(self):
        processes = self.start_job(torchrun, 2, "smoke/two-ranks", "--json", "-")
        ended = self.all_end_with(0, processes)
        rows = [json.loads(line) for line in ended[0][1].splitlines()]
        ran = [row for row in rows if row.get("verdict") == "passed"]
        self.assertGreater(len(ran), 1)
        self.assertNotIn("M-BACK", ran[0]["checks"])
        for row in ran[1:]:
            self.assertEqual(row["checks"]["M-BACK"], "ok")

    def test_a_merged_trace_and_ranks_beyond_dp(self):
        for size, name in ((2, "recorded/mixtral-style-e8k2-merged"), (4, "worlds/dp2-tp2")):
            with self.subTest(name):
                ended = self.all_end_with(0, self.start_job(torchrun, size, name))
                self.assertRegex(ended[0][1], r"[1-9]\d* passed, 0 failed, \d+ skipped, 0 errors")

    def test_a_fault_is_caught_by_all_ranks_together(self):
        ended = self.all_end_with(1, self.start_job(torchrun, 2, "smoke/two-ranks", "--fault",
                                                    "MF-42:rank=1", "--deadline", "2000"))
        self.assertIn("COUNT caught MF-42", ended[0][1])

    def test_a_store_of_its_own_and_repeats(self):
        store = f"127.0.0.1:{free_port()}"
        processes = {rank: self.start_rank({"RANK": rank, "WORLD_SIZE": 2}, "smoke/two-ranks",
                                           "--store", store, "--repeat", "2")
                     for rank in range(2)}
        self.assertIn("4 passed", self.all_end_with(0, processes)[0][1])

    def test_a_job_of_one_rank_runs_as_without_the_words(self):
        for family in (torchrun, slurm, open_mpi):
            ended = self.all_end_with(0, self.start_job(family, 1, "smoke/two-ranks"))
            self.assertIn("5 passed, 0 failed, 0 skipped", ended[0][1], family.__name__)

    def test_alone_runs_without_the_job(self):
        for rank in (0, 1):
            process = self.start_rank(torchrun(rank, 2, 1), "smoke/two-ranks", "--alone")
            code, out, _ = self.ends({rank: process})[rank]
            self.assertEqual(code, 0)
            self.assertIn("5 passed", out)

    def test_a_torch_job_inside_a_slurm_step_is_torchs(self):
        port = free_port()
        processes = {rank: self.start_rank(slurm(0, 1, port) | torchrun(rank, 2, port),
                                           "smoke/two-ranks") for rank in range(2)}
        self.assertIn("2 passed", self.all_end_with(0, processes)[0][1])


TWO_MACHINES = """set -e
ip link add here type veth peer name there
unshare -n sleep 60 & machine=$!
trap 'kill $machine' EXIT
own=$(readlink /proc/self/ns/net)
for try in $(seq 200); do
  [ "$(readlink /proc/$machine/ns/net)" = "$own" ] || break
  sleep 0.02
done
ip link set there netns $machine
on() { nsenter -t $machine -n "$@"; }
ip addr add 192.168.77.1/24 dev here; ip link set here up; ip link set lo up
on ip addr add 192.168.77.2/24 dev there; on ip link set there up; on ip link set lo up
export WORLD_SIZE=4 MASTER_PORT=29700
RANK=1 MASTER_ADDR=127.0.0.1 "$@" & one=$!
RANK=2 MASTER_ADDR=192.168.77.1 on "$@" & two=$!
RANK=3 MASTER_ADDR=192.168.77.1 on "$@" & three=$!
RANK=0 MASTER_ADDR=192.168.77.1 "$@"
wait $one && wait $two && wait $three
"""


class TwoMachines(Job):
    def test_ranks_of_two_machines_reach_each_other(self):
        """Also one that meets the others by a loopback address, as a host's own name often is."""
        space = ["unshare", "--map-root-user", "--net"]
        if subprocess.run([*space, "ip", "link", "add", "here", "type", "veth", "peer", "name",
                           "there"],
                          capture_output=True, check=False).returncode != 0:
            print("joined_test.py: no second machine: network namespaces are not permitted here",
                  file=sys.stderr)
            self.skipTest("network namespaces are not permitted here")
        run = subprocess.run([*space, "bash", "-c", TWO_MACHINES, "two", MOEBIUS, "run",
                              "smoke/uneven-experts"], cwd=self.folder, env=clean_environment(),
                             capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertRegex(run.stdout, r"PASS .*gloo 4 processes +54 rows as the golden")


class BadPlaces(Job):
    def refused(self, variables, *words):
        process = self.start_rank(variables, *(words or ("smoke/two-ranks",)))
        code, out, err = self.ends({0: process}, 10)[0]
        self.assertEqual((code, out), (2, ""), err)
        return err

    def test_words_that_are_half_there_or_no_place(self):
        good = torchrun(0, 2, 29510)
        for changes, words in {
                (("WORLD_SIZE", None),): "RANK=0 without WORLD_SIZE",
                (("RANK", None),): "WORLD_SIZE=2 without RANK",
                (("RANK", None), ("WORLD_SIZE", None)): "LOCAL_RANK=0 without RANK and WORLD_SIZE",
                (("RANK", "2"),): "RANK=2, WORLD_SIZE=2: ranks of this job are 0 to 1",
                (("RANK", "-1"),): "RANK='-1' is not a whole number",
                (("RANK", "one"),): "RANK='one' is not a whole number",
                (("RANK", ""),): "RANK='' is not a whole number",
                (("WORLD_SIZE", "0"),): "WORLD_SIZE='0' is not a whole number",
                (("WORLD_SIZE", "2.0"),): "WORLD_SIZE='2.0' is not a whole number",
                (("WORLD_SIZE", "99999999999999999999"),): "is not a whole number",
                (("LOCAL_RANK", "x"),): "LOCAL_RANK='x' is not a whole number",
                (("MASTER_ADDR", None),): "without MASTER_ADDR",
                (("MASTER_PORT", "port"),): "MASTER_PORT='port'",
                (("MASTER_PORT", "65535"),): "MASTER_PORT=65535",
        }.items():
            variables = dict(good)
            for name, value in changes:
                variables[name] = value
            variables = {name: value for name, value in variables.items() if value is not None}
            with self.subTest(changes):
                self.assertIn(words, self.refused(variables))
        self.assertIn("SLURM_PROCID=0 without SLURM_NTASKS", self.refused({"SLURM_PROCID": 0}))
        self.assertIn("SLURM_LAUNCH_NODE_IPADDR",
                      self.refused({"SLURM_PROCID": 0, "SLURM_NTASKS": 2}))
        self.assertIn("OMPI_COMM_WORLD_RANK=0 without OMPI_COMM_WORLD_SIZE",
                      self.refused({"OMPI_COMM_WORLD_RANK": 0}))

    def test_a_shell_inside_an_allocation_is_no_rank(self):
        process = self.start_rank({"SLURM_NTASKS": 4, "SLURM_JOB_ID": 7}, "smoke/two-ranks")
        self.assertEqual(self.ends({0: process})[0][0], 0)

    def test_options_that_do_not_go_with_a_job(self):
        self.assertIn("no variable says", self.refused({}, "smoke", "--store", "127.0.0.1:29511"))
        self.assertIn("host:port", self.refused(torchrun(0, 2, 29510), "smoke", "--store", "here"))
        self.assertIn("port 0", self.refused(torchrun(0, 2, 29510), "smoke", "--store", "here:0"))
        self.assertIn("--alone", self.refused({}, "smoke", "--alone", "--store", "here:1"))
        for words in (("--worlds", "3"), ("--jobs", "2", "smoke"),
                      ("--ranks", "threads", "smoke")):
            ended = self.all_end_with(2, self.start_job(torchrun, 2, *words))
            for rank in range(2):
                self.assertIn(words[0], ended[rank][2])

    def test_a_world_of_another_size_says_both_numbers(self):
        ended = self.all_end_with(2, self.start_job(torchrun, 3, "smoke/two-ranks"))
        for rank in range(3):
            self.assertIn(f"no scenario fits a job of 3 ranks (RANK={rank}, WORLD_SIZE=3): "
                          "smoke/two-ranks has 2 ranks (dp 2)", ended[rank][2])

    def test_bad_input_on_one_rank_ends_all(self):
        port = free_port()
        for bad in (0, 1):
            processes = {rank: self.start_rank(
                torchrun(rank, 2, port), "smoke/two-rank" if rank == bad else "smoke/two-ranks")
                         for rank in range(2)}
            ended = self.all_end_with(2, processes)
            self.assertIn("smoke/two-rank", ended[bad][2])
            self.assertIn("smoke/two-rank", ended[0][2])  # rank 0 says it for all
            self.assertEqual(ended[0][1], "")

    def test_ranks_with_other_words_are_told(self):
        port = free_port()
        processes = {rank: self.start_rank(torchrun(rank, 2, port), "smoke/two-ranks", "--seed",
                                           str(rank)) for rank in range(2)}
        ended = self.all_end_with(2, processes)
        self.assertIn("ranks must run the same", ended[0][2])
        self.assertIn("seed 1", ended[0][2])


class Trouble(Job):
    def begun(self, processes):
        """Waits until the ranks are at work: rank 0's first line is a short one, then printed."""
        line = processes[0].stdout.readline()
        self.assertNotEqual(line, "")

    def long_job(self, deadline):
        processes = self.start_job(torchrun, 4, TRACE, "--deadline", str(deadline))
        self.begun(processes)  # its first line, local, is skipped at once
        time.sleep(1.0)  # into the middle of the run; any moment will do
        return processes

    def in_trouble(self, number, rank, deadline):
        processes = self.long_job(deadline)
        begin = time.monotonic()
        processes[rank].send_signal(number)
        others = {one: process for one, process in processes.items() if one != rank}
        ended = self.all_end_with(3, others)
        return ended, time.monotonic() - begin

    def test_a_killed_rank_is_named_and_all_end_soon(self):
        ended, took = self.in_trouble(signal.SIGKILL, 2, 5000)
        self.assertIn("rank 2 is gone without a word", ended[0][1])
        for rank in (0, 1, 3):
            self.assertIn("rank 2", ended[rank][2])
        self.assertLess(took, 4)

    def test_a_killed_rank_0_is_noticed_by_all(self):
        ended, took = self.in_trouble(signal.SIGKILL, 0, 5000)
        for rank in (1, 2, 3):
            self.assertIn("rank 0", ended[rank][2])
        self.assertLess(took, 4)

    def test_a_stopped_rank_is_named_within_the_deadline(self):
        ended, took = self.in_trouble(signal.SIGSTOP, 2, 1500)
        late = "peer rank 2 did not answer within 1500 ms"
        self.assertIn(late, ended[0][1])
        self.assertIn("rank 2", ended[0][2])
        for rank in (1, 3):
            self.assertIn(late, ended[rank][2])
        self.assertLess(took, 1.5 + 2)

    def test_a_stopped_rank_0_is_noticed_within_the_deadline(self):
        _, took = self.in_trouble(signal.SIGSTOP, 0, 1500)
        self.assertLess(took, 1.5 + 2)

    def test_an_interrupt_ends_every_rank_within_a_second(self):
        processes = self.long_job(5000)
        begin = time.monotonic()
        for process in processes.values():
            process.send_signal(signal.SIGINT)
        ended = self.all_end_with(130, processes)
        self.assertLess(time.monotonic() - begin, 1.5)
        self.assertIn("interrupted", ended[0][1])

    def test_a_rank_that_is_interrupted_ends_the_others_with_3(self):
        processes = self.long_job(5000)
        processes[2].send_signal(signal.SIGINT)
        ended = self.ends(processes)
        self.assertEqual([ended[rank][0] for rank in range(4)], [3, 3, 130, 3], ended)
        self.assertIn("rank 2", ended[0][1])

    def test_a_rank_that_never_comes_is_named_within_the_deadline(self):
        for missing in (0, 2):
            begin = time.monotonic()
            present = [rank for rank in range(4) if rank != missing]
            processes = self.start_job(torchrun, 4, "smoke/uneven-experts", "--deadline", "1000",
                                       ranks=present)
            ended = self.all_end_with(3, processes)
            self.assertLess(time.monotonic() - begin, 1 + 2)
            for rank in present:
                self.assertIn(f"rank {missing}", ended[rank][2])
                self.assertEqual(ended[rank][1], "")

    def test_a_rank_that_is_interrupted_before_the_others_come_ends_at_once(self):
        for rank in (0, 1):
            process = self.start_rank(torchrun(rank, 2, free_port()), "smoke/two-ranks",
                                      "--deadline", "30000")
            time.sleep(0.5)
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            self.assertEqual(self.ends({0: process})[0][0], 130)
            self.assertLess(time.monotonic() - begin, 1)

    def test_a_taken_port_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            begin = time.monotonic()
            processes = self.start_job(torchrun, 2, "smoke/two-ranks", "--deadline", "1500",
                                       port=port - 1)
            ended = self.all_end_with(3, processes)
            self.assertLess(time.monotonic() - begin, 1.5 + 2)
            self.assertIn(f"port {port} of 127.0.0.1 is taken", ended[0][2])
            self.assertIn("--store", ended[0][2])

    def test_a_program_that_is_no_store_is_called_so(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            process = self.start_rank(torchrun(1, 2, port - 1), "smoke/two-ranks", "--deadline",
                                      "5000")
            other.settimeout(10)
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                code, _, err = self.ends({1: process}, 8)[1]
            self.assertEqual(code, 3)
            self.assertIn("is no store", err)

    def test_two_jobs_on_one_port_do_not_mix(self):
        port = free_port()
        first = self.start_job(torchrun, 2, "smoke/two-ranks", "--deadline", "8000", job="first",
                               port=port, ranks=[0])
        time.sleep(0.5)  # the first has opened the port
        second = self.start_job(torchrun, 2, "smoke/two-ranks", "--deadline", "2000", job="second",
                                port=port)
        ended = self.all_end_with(3, second)
        self.assertIn("is taken", ended[0][2])
        self.assertIn(f"another job is using port {port + 1}", ended[1][2])
        first |= self.start_job(torchrun, 2, "smoke/two-ranks", "--deadline", "8000", job="first",
                                port=port, ranks=[1])
        self.assertIn("2 passed", self.all_end_with(0, first)[0][1])

    def test_two_processes_with_one_rank_do_not_mix(self):
        port = free_port()
        job = self.start_job(torchrun, 3, "smoke/exact-gemm", "--deadline", "8000", port=port,
                             ranks=[0, 1])
        time.sleep(0.5)  # rank 1 is there
        twin = self.start_rank(torchrun(1, 3, port), "smoke/exact-gemm", "--deadline", "8000")
        code, out, err = self.ends({1: twin})[1]
        self.assertEqual((code, out), (3, ""))
        self.assertIn("says that it is rank 1", err)

    def test_nobody_is_left(self):
        processes = self.start_job(torchrun, 2, "smoke/two-ranks")
        self.all_end_with(0, processes)
        for process in processes.values():
            self.assertFalse(Path(f"/proc/{process.pid}").exists())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
