#!/usr/bin/python3
"""lost_peers_test.py MOEBIUS COLLECTIVE_RANK: a rank is killed or stopped in the middle of each
operation over Gloo, with rows of all lengths. The others end with exit 3, soon, and blame that
rank. Ends only what it started.
"""

import os
import signal
import subprocess
import sys
import time
import unittest

from program import end

RANK = sys.argv[2] if len(sys.argv) > 2 else "build/cpu/tests/process/moe_collective_rank"
OPERATIONS = ("all_gather_v", "reduce_scatter_v", "all_to_all_v", "broadcast", "all_reduce",
              "send", "barrier")
SIZE = 3
LARGE = 4000  # rows of 4 KiB: longer than what a socket holds, so that messages are cut in two


class LostPeers(unittest.TestCase):
    def start(self, *words):
        process = subprocess.Popen([RANK, *map(str, words)], text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(end, process)
        return process

    def world_at_work(self, operation, rows, deadline):
        server = self.start()
        port = server.stdout.readline().strip()
        ranks = [self.start(port, rank, SIZE, operation, rows, deadline) for rank in range(SIZE)]
        for rank in ranks:
            self.assertEqual(rank.stdout.readline(), "at work\n")
        return ranks

    def after(self, number, victim, operation, rows, deadline):
        """rank → what it said, and the seconds until all others had ended."""
        ranks = self.world_at_work(operation, rows, deadline)
        time.sleep(0.05 + 0.013 * victim)  # any moment will do
        begin = time.monotonic()
        os.kill(ranks[victim].pid, number)
        said = {}
        for rank, process in enumerate(ranks):
            if rank == victim:
                continue
            _, err = process.communicate(timeout=deadline / 1000 + 20)
            self.assertEqual(process.returncode, 3, f"{operation}: rank {rank}: {err}")
            said[rank] = err
        took = time.monotonic() - begin
        end(ranks[victim])
        return said, took

    def blames(self, said, victim, operation):
        name = "(send|recv)" if operation == "send" else operation
        for rank, err in said.items():
            self.assertRegex(err, rf"^rank {rank}: operation \d+ \({name}[,)]")
            # Whoever waits for somebody that waits says so, and whom that one waits for.
            self.assertRegex(err, rf"peer rank {victim} (did not answer|closed)", operation)
            for other in set(range(SIZE)) - {victim}:
                self.assertNotRegex(err, rf"peer rank {other} (did not answer|closed)")

    def test_a_killed_rank_is_blamed_at_once(self):
        for operation in OPERATIONS:
            for rows in (1, LARGE):
                with self.subTest(operation=operation, rows=rows):
                    victim = 1 + rows % 2
                    said, took = self.after(signal.SIGKILL, victim, operation, rows, 20000)
                    self.blames(said, victim, operation)
                    self.assertLess(took, 3, said)

    def test_a_stopped_rank_is_blamed_within_the_deadline(self):
        for operation in OPERATIONS:
            for rows in (1, LARGE):
                with self.subTest(operation=operation, rows=rows):
                    victim = 1 + rows % 2
                    said, took = self.after(signal.SIGSTOP, victim, operation, rows, 1000)
                    self.blames(said, victim, operation)
                    for rank, err in said.items():
                        self.assertIn("within 1000 ms", err, f"rank {rank}")
                    self.assertLess(took, 1 + 2, said)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
