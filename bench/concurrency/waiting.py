#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What Python's threads, processes and asyncio do for computing and for waiting.

usage: bench/concurrency/waiting.py

Processes are those of multiprocessing, and of Forkfold where its package is installed.

Computing: TASKS counts of the words of a text, in pure Python.  Waiting: CLIENTS
clients that each ask a server QUESTIONS times, one question after the other; the
server answers each DELAY_S later.  Prints the median and the range of RUNS runs.
"""

import asyncio
import heapq
import multiprocessing
import os
import selectors
import socket
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

try:
    import forkfold
except ImportError:
    forkfold = None

RUNS = 5
TASKS = 8
CLIENTS = 64
QUESTIONS = 5
DELAY_S = 0.01
CORES = len(os.sched_getaffinity(0))
TEXT = "the harbour was quiet and the boats lay still on the water " * 100_000

# Inherited by forked workers: sockets to the server.
sockets = []


def measure(name, action):
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    print(f"{name:44} {statistics.median(times):7.3f}   ({min(times):.3f} to {max(times):.3f})",
          flush=True)


def count(_):
    counts = {}
    for word in TEXT.split():
        counts[word] = counts.get(word, 0) + 1
    return counts["the"]


def in_turn(work, tasks):
    return [work(task) for task in tasks]


def in_threads(work, tasks, workers):
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, tasks))


def in_processes(library, work, tasks, workers):
    with library.Pool(workers) as pool:
        return pool.map(work, tasks, chunksize=1)


async def count_async():
    async def one(task):
        return count(task)

    return await asyncio.gather(*map(one, range(TASKS)))


def ask(client):
    for _ in range(QUESTIONS):
        sockets[client].send(b"?")
        sockets[client].recv(1)


async def ask_async():
    loop = asyncio.get_running_loop()

    async def one(client):
        for _ in range(QUESTIONS):
            await loop.sock_sendall(sockets[client], b"?")
            await loop.sock_recv(sockets[client], 1)

    await asyncio.gather(*map(one, range(CLIENTS)))


def serve(ends):
    """Answers each question DELAY_S after it came, all of them at once if need be."""
    selector = selectors.DefaultSelector()
    due = []
    for number, end in enumerate(ends):
        selector.register(end, selectors.EVENT_READ, number)
    while True:
        wait = max(0, due[0][0] - time.monotonic()) if due else None
        for key, _ in selector.select(wait):
            if not key.fileobj.recv(1):
                return
            heapq.heappush(due, (time.monotonic() + DELAY_S, key.data))
        while due and due[0][0] <= time.monotonic():
            ends[heapq.heappop(due)[1]].send(b"!")


def start_server():
    pairs = [socket.socketpair() for _ in range(CLIENTS)]
    server = os.fork()
    if server == 0:
        for ours, _ in pairs:
            ours.close()
        serve([theirs for _, theirs in pairs])
        os._exit(0)
    sockets.extend(ours for ours, _ in pairs)
    for _, theirs in pairs:
        theirs.close()
    return server


def set_blocking(blocking):
    for end in sockets:
        end.setblocking(blocking)


def main():
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"Python {sys.version.split()[0]}, interpreter lock {'on' if has_lock else 'off'}, "
          f"{CORES} cores, seconds, {RUNS} runs")
    tasks, clients = range(TASKS), range(CLIENTS)
    measure("computing, one after the other", lambda: in_turn(count, tasks))
    measure(f"computing, {CORES} threads", lambda: in_threads(count, tasks, CORES))
    measure(f"computing, {TASKS} coroutines (asyncio)", lambda: asyncio.run(count_async()))
    libraries = {"multiprocessing": multiprocessing.get_context("fork"), "forkfold": forkfold}
    if forkfold is None:
        del libraries["forkfold"]
    for name, library in libraries.items():
        measure(f"computing, {CORES} processes ({name})",
                lambda library=library: in_processes(library, count, tasks, CORES))
    server = start_server()
    measure("waiting, one after the other", lambda: in_turn(ask, clients))
    measure(f"waiting, {CORES} threads", lambda: in_threads(ask, clients, CORES))
    measure(f"waiting, {CLIENTS} threads", lambda: in_threads(ask, clients, CLIENTS))
    for name, library in libraries.items():
        for workers in (CORES, CLIENTS):
            measure(f"waiting, {workers} processes ({name})",
                    lambda library=library, workers=workers: in_processes(library, ask, clients,
                                                                          workers))
    set_blocking(False)
    measure(f"waiting, {CLIENTS} coroutines (asyncio)", lambda: asyncio.run(ask_async()))
    for end in sockets:
        end.close()
    os.waitpid(server, 0)


if __name__ == "__main__":
    main()
