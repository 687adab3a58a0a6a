#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the models find mistakes: breaks a copy of the library, one place at a time.

usage: mutations.py ENGINE COMPILER...

ENGINE is the archive of the model, COMPILER the command to compile with.  Prints the TAP: a test
is a mistake, and fails when the scenario that should find it does not.
"""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

FLAGS = ["-std=gnu11", "-O1", "-w", "-D_GNU_SOURCE", "-DFF_KILL_POINTS", "-ffunction-sections",
         "-fno-omit-frame-pointer", "-include", str(HERE / "atomic.h")]
LINK_FLAGS = ["-Wl,--gc-sections", "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free",
              "-lm"]

# Enough for the slowest machine; a mistake is found in seconds.
SECONDS = 300


class Mistake(NamedTuple):
    """One place of src/ that reads otherwise, and the scenario that has to find it."""

    name: str
    path: str
    old: str
    new: str
    model: str
    scenario: str
    is_deep: bool = False  # it is not found in seconds: only with FORKFOLD_MODEL=deep


RING, QUEUE, QUEUES = "memory/ring.c", "flow/queue.c", "pool/queues.c"
WORKER, RECOVERY, LOST = "pool/worker.c", "pool/recovery.c", "pool/lost.c"
ITEMS, ITEMS_JOB, RESULT = "pool/items.c", "pool/items_job.c", "pool/items_result.c"

MISTAKES = [
    # Rings.
    Mistake("a commit is not ordered after the batch", RING,
            "ff_announce(&cell->word, encode(turn_at(ring, position), READY, 0));\n"
            '    FF_KILL_POINT("ring.commit.done");',
            "ff_own_set(&cell->word, encode(turn_at(ring, position), READY, 0));",
            "ring", "stores_that_are_late_keep_the_order"),
    Mistake("a cell is released before it was acknowledged", RING,
            "ff_publish(&ff_ring_cell(ring, position)->word, encode(turn_at(ring, position) + 1",
            "ff_own_set(&ff_ring_cell(ring, position)->word, encode(turn_at(ring, position) + 1",
            "ring", "one_cell_takes_turns_while_stores_are_late"),
    Mistake("publishing is relaxed", "platform/atomic.h",
            "atomic_store_explicit(word, value, memory_order_release)",
            "atomic_store_explicit(word, value, memory_order_relaxed)",
            "ring", "stores_that_are_late_keep_the_order"),
    Mistake("two producers write the same cell", RING,
            "!ff_swap_if(&ff_ring_cell(ring, *position)->word, &word,\n"
            "                         encode(turn_at(ring, *position), WRITING, holder))",
            "(ff_announce(&ff_ring_cell(ring, *position)->word, "
            "encode(turn_at(ring, *position), WRITING, holder)), false)",
            "ring", "two_producers_and_one_consumer"),
    Mistake("two consumers take the same batch", RING,
            "ff_swap_if(&cell->word, &word, encode(turn, TAKEN, holder));",
            "(ff_announce(&cell->word, encode(turn, TAKEN, holder)), true);",
            "ring", "one_producer_and_two_consumers"),
    Mistake("a claim does not look whether the ring has ended meanwhile", RING,
            "    if (ff_ring_has_ended(ring)) {\n        ff_ring_abandon",
            "    if (false) {\n        ff_ring_abandon",
            "ring", "a_ring_ends_while_a_producer_puts"),
    Mistake("a ring counts as empty while a cell is written", RING,
            "state_of(word) != FREE)\n            return false;\n    }\n    return true;",
            "state_of(word) == READY)\n            return false;\n    }\n    return true;",
            "ring", "a_ring_ends_while_a_producer_puts"),
    Mistake("a ring counts as empty while a batch is held", RING,
            "state_of(word) != FREE)\n            return false;\n    }\n    return true;",
            "state_of(word) != FREE && state_of(word) != TAKEN)\n            return false;\n"
            "    }\n    return true;",
            "ring", "one_producer_and_two_consumers"),
    Mistake("the head passes what can be taken", RING,
            "(turn_of(word) == turn && state_of(word) == TAKEN);",
            "(turn_of(word) == turn && state_of(word) >= READY);",
            "ring", "one_producer_and_two_consumers"),
    Mistake("a cell keeps the counts of its last batch", RING,
            "    clear_cell(ff_ring_cell(ring, *position));\n", "",
            "ring", "one_cell_takes_turns"),
    Mistake("a return that comes during a look is taken for seen", RING,
            "ff_swap_if(&ring->words->looked, &looked, returned);",
            "ff_swap_if(&ring->words->looked, &looked, ff_observe(&ring->words->returned));",
            "ring", "a_batch_that_is_given_back_comes_again"),
    Mistake("what a dead consumer held is not announced", RING,
            "    /* Also for what the dead one itself gave back, and had not announced. */\n"
            "    announce_return(ring);\n", "",
            "ring", "a_consumer_dies"),
    Mistake("what is given back is not announced", RING,
            "    /* A death before this is one of a worker, after which the supervisor announces "
            "returns. */\n    announce_return(ring);\n", "",
            "ring", "a_batch_that_is_given_back_comes_again"),
    Mistake("what a dead consumer had acknowledged comes again", RING,
            "if (ff_peer_get(&cell->done) >= ff_peer_get(&cell->count)) {", "if (false) {",
            "ring", "a_consumer_dies"),
    Mistake("a death returns what it held to the queue as the next turn", RING,
            "encode(turn_of(word), READY, 0));\n}\n\nstatic void recover_taken",
            "encode(turn_of(word) + 1, FREE, 0));\n}\n\nstatic void recover_taken",
            "ring", "a_consumer_dies"),
    Mistake("a cell stays a dead producer's", RING,
            "        recover_writing(&rings[i], holder);", "        (void)recover_writing;",
            "ring", "a_producer_dies"),
    Mistake("what a dead producer was writing is delivered", RING,
            "(void)ff_swap_if(&ring->cells[i].word, &word, encode(turn_of(word) + 1, FREE, 0));",
            "(void)ff_swap_if(&ring->cells[i].word, &word, encode(turn_of(word), READY, 0));",
            "ring", "a_producer_dies"),
    Mistake("cells are freed before it is known what was passed on", RING,
            "        recover_taken(rings, count, &rings[i], holder);\n"
            "    for (uint64_t i = 0; i < count; i++)\n        recover_writing(&rings[i], holder);",
            "        recover_writing(&rings[i], holder);\n    for (uint64_t i = 0; i < count; i++)\n"
            "        recover_taken(rings, count, &rings[i], holder);",
            "ring", "who_passes_on_dies"),
    Mistake("it is noted too late where a batch was passed on to", RING,
            "    ff_own_set(&cell->passed_to, to->number + 1);\n    ff_keep_order();\n"
            '    FF_KILL_POINT("ring.pass.noted");\n    ff_ring_commit(to, target, count);\n',
            "    ff_ring_commit(to, target, count);\n"
            "    ff_own_set(&cell->passed_to, to->number + 1);\n",
            "ring", "who_passes_on_dies"),
    Mistake("a batch is acknowledged before it is passed on", RING,
            "    ff_ring_commit(to, target, count);\n    ff_keep_order();\n",
            "    ff_own_set(&cell->done, batch->done);\n    ff_ring_commit(to, target, count);\n",
            "ring", "who_passes_on_dies"),
    # Sleeping for queues.
    Mistake("a worker sleeps on a snapshot of later", QUEUE,
            "ff_futex_wait(word, snapshot, until_ns);",
            "ff_futex_wait(word, ff_snapshot32(word), until_ns);",
            "queue", "who_waits_for_room_or_batches_is_woken"),
    Mistake("a worker does not look once more", QUEUE,
            "if (succeeds(attempt) || ff_clock_ns() >= until_ns)",
            "if (ff_clock_ns() >= until_ns)",
            "queue", "who_waits_for_room_or_batches_is_woken"),
    Mistake("a worker does not say that it sleeps", QUEUE,
            "        announce_sleep(attempt, FF_RING_WORKERS);\n", "",
            "queue", "who_waits_for_room_or_batches_is_woken"),
    Mistake("the word is bumped before the announcement is withdrawn", QUEUES,
            "    uint64_t who = ff_take_bits(sleepers);\n\n"
            '    FF_KILL_POINT("queue.wake");\n'
            "    if ((who & FF_RING_DRIVER) != 0)\n"
            "        ff_doorbell_ring(layout->driver_bell);\n"
            "    if ((who & FF_RING_WORKERS) == 0)\n        return;\n    ff_bump32(word);\n",
            "    (void)layout;\n    ff_bump32(word);\n    (void)ff_take_bits(sleepers);\n",
            "queue", "two_consumers_wait_for_one_batch"),
    Mistake("who wakes does not bump the word", QUEUES,
            "    ff_bump32(word);\n", "",
            "queue", "who_waits_for_room_or_batches_is_woken"),
    Mistake("an end wakes nobody", QUEUE,
            "    ff_queue_wake_takers(queue);\n    ff_queue_wake_putters(queue);\n    return 0;",
            "    return 0;",
            "queue", "who_waits_for_room_or_batches_is_woken"),
    Mistake("the last acknowledgement wakes nobody", QUEUE,
            "    if (ff_ring_has_ended(queue->ring))\n        ff_queue_tell_takers(queue);\n", "",
            "queue", "two_consumers_wait_for_one_batch"),
    Mistake("who puts does not announce it before it looks for sleepers", RING,
            "ff_announce(&cell->word, encode(turn_at(ring, position), READY, 0));\n"
            '    FF_KILL_POINT("ring.commit.done");',
            "ff_publish(&cell->word, encode(turn_at(ring, position), READY, 0));",
            "queue", "who_waits_is_woken_by_late_stores"),
    Mistake("who makes room does not settle before it looks for sleepers", QUEUE,
            "    else\n        ff_settle();\n", "",
            "queue", "who_waits_is_woken_by_late_stores"),
    Mistake("who makes room and takes something wakes nobody", QUEUE,
            "    if (has_released)\n        wake_all",
            "    if (has_released && answer != FF_RING_OK)\n        wake_all",
            "queue", "who_waits_for_room_is_woken_by_who_holds_the_next"),
    Mistake("the driver does not say that it sleeps", QUEUE,
            "        announce_sleep(attempt, FF_RING_DRIVER);\n", "",
            "queue", "the_driver_gets"),
    Mistake("a death wakes nobody", QUEUES,
            "        wake(layout, &words->putters_sleep, &words->emptied);\n", "",
            "queue", "who_waits_for_a_dead_consumer_is_woken"),
    # Claims.
    Mistake("two workers take the same task", "memory/board.c",
            "while (!ff_take_if(&board->cursor->next, &next))",
            "while (ff_announce(&board->cursor->next, next + 1), false)",
            "claim", "two_workers_share_the_tasks"),
    Mistake("nobody looks for a task that was taken and not logged", RECOVERY,
            "        ff_look_for_lost(s, false);", "        (void)ff_look_for_lost;",
            "claim", "the_only_worker_dies"),
    Mistake("tasks count as lost before all workers were seen between two claims", LOST,
            "        if (!has_passed(s, i))\n            return;",
            "        (void)has_passed;",
            "claim", "one_of_two_workers_dies_with_the_only_item"),
    Mistake("a worker meets the grace without being between two claims", LOST,
            "ff_observe(&segment->grace) == ff_peer_get(&s->shared->grace) ||",
            "true ||",
            "claim", "one_of_two_workers_dies_with_the_only_item"),
    Mistake("what the dead had logged is taken for lost, too", RECOVERY,
            "    ff_settle_claims(s, slot);\n", "",
            "claim", "the_only_worker_dies"),
    Mistake("what was logged is not queued again", RECOVERY,
            "    queue_again(s, slot, &remains);\n", "    (void)queue_again;\n",
            "claim", "the_only_worker_dies"),
    Mistake("the blamed item is queued for all, too", RECOVERY,
            "if (remains->has_suspect && suspect >= task.first && suspect < end) {",
            "if (false && suspect < end) {",
            "claim", "the_only_worker_dies"),
    Mistake("an item is blamed for a death after it was published", RECOVERY,
            "(job->is_done == NULL || !job->is_done(suspect->owner, suspect->serial, "
            "suspect->index));",
            "true;",
            "claim", "the_only_worker_dies"),
    Mistake("the neighbour is blamed", RECOVERY,
            "*item = part_of(&task, current - 1, current);",
            "*item = part_of(&task, task.first, task.first + 1);",
            "claim", "a_worker_dies_within_a_task"),
    Mistake("who posts does not bump the word that workers sleep on", "pool/layout.c",
            "    ff_bump32(&layout->control->work);\n", "",
            "claim", "tasks_come_while_workers_look"),
    Mistake("a worker sleeps on a snapshot of after it looked", WORKER,
            "ff_futex_wait(&worker->layout->control->work, snapshot, UINT64_MAX);",
            "ff_futex_wait(&worker->layout->control->work, "
            "ff_snapshot32(&worker->layout->control->work), UINT64_MAX);",
            "claim", "tasks_come_while_workers_look"),
    # The ends of calls.
    Mistake("who joins does not look whether the call is closing", WORKER,
            "    if (ff_recheck(&worker->layout->supervisor->closing) < worker->sequence)\n"
            "        return true;\n    ff_announce(&segment->joined, 0);",
            "    if (worker->sequence != 0)\n"
            "        return true;\n    ff_announce(&segment->joined, 0);",
            "seal", "who_joins_late_meets_the_next_call"),
    Mistake("who comes back does not look whether the call is closing", WORKER,
            "    if (ff_recheck(&worker->layout->supervisor->closing) < worker->sequence)\n"
            "        return true;\n    ff_announce(&segment->parked, worker->sequence);",
            "    if (worker->sequence != 0)\n"
            "        return true;\n    ff_announce(&segment->parked, worker->sequence);",
            "seal", "one_call_comes_after_the_other"),
    Mistake("the supervisor does not look again once the call is closing", "pool/supervisor.c",
            "    ff_announce(&s->shared->closing, s->sequence);\n    if (!is_quiet(s))\n"
            "        return;\n    if (s->audit_due",
            "    ff_announce(&s->shared->closing, s->sequence);\n    if (s->audit_due",
            "seal", "who_joins_during_a_look_meets_the_next_call", True),
    Mistake("nobody audits a call in which a worker died", "pool/supervisor.c",
            "    if (s->audit_due && ff_call_of(s)->job->is_done == NULL) {",
            "    if (false && ff_call_of(s)->job->is_done == NULL) {",
            "seal", "the_only_worker_of_a_call_dies"),
    Mistake("a worker parks and tells nobody", WORKER,
            '    FF_KILL_POINT("worker.park.announced");\n'
            "    ff_doorbell_ring(worker->layout->supervisor_bell);\n", "",
            "seal", "a_call_ends_when_all_is_sealed"),
    Mistake("a replacement forgets what its slot had sealed", WORKER,
            "    worker->base_is_absorbed = ff_peer_get(&worker->segment->sealed) == 0;",
            "    worker->base_is_absorbed = true;",
            "seal", "the_only_worker_of_a_call_dies"),
    # Slots of items.
    Mistake("the floor is not looked at after the state", ITEMS_JOB,
            "return state != FF_ITEM_PENDING || ff_observe(&owner->floor) > index ||",
            "return state != FF_ITEM_PENDING ||",
            "slot", "a_slot_goes_from_item_to_item"),
    Mistake("the serial is not looked at after the state", ITEMS_JOB,
            " ||\n           ff_observe(&owner->serial) != serial;", ";",
            "slot", "an_owner_goes_from_call_to_call"),
    Mistake("the floor stays where it is", RESULT,
            "    ff_publish(&owner->floor, call->settled);\n", "",
            "slot", "a_slot_goes_from_item_to_item"),
    Mistake("a slot is given on before the floor has passed it", "pool/items_begin.c",
            "        ff_publish8(&owner->states[slot], FF_ITEM_PENDING);",
            "        ff_own_set8(&owner->states[slot], FF_ITEM_PENDING);",
            "slot", "a_slot_is_reused_while_stores_are_late"),
    Mistake("a slot is given on before its state was cleared", "pool/items_begin.c",
            "        ff_publish8(&owner->states[slot], FF_ITEM_PENDING);\n", "",
            "slot", "a_slot_goes_from_item_to_item"),
    Mistake("the driver does not look once more before it sleeps", ITEMS,
            "    if (pool->items.is_open && !ready(what)) {\n        doubt",
            "    if (pool->items.is_open) {\n        doubt",
            "slot", "a_slot_goes_from_item_to_item"),
    Mistake("a worker does not settle before it looks whether the driver listens",
            "pool/worker_job.c",
            "    ff_settle();\n    listening = ", "    listening = ",
            "slot", "a_slot_is_reused_while_stores_are_late"),
]


def sources_of_models():
    """Of each model the sources that meson.build says it compiles."""
    text = (HERE / "meson.build").read_text(encoding="utf-8")
    table = re.search(r"^models = \{(.*?)^\}", text, re.MULTILINE | re.DOTALL).group(1)
    return {name: re.findall(r"'([^']+)'", sources)
            for name, sources in re.findall(r"'(\w+)': \[(.*?)\]", table, re.DOTALL)}


class Builder:
    """Compiles models with changed sources; what is not changed once only."""

    def __init__(self, engine, compiler, folder):
        self.engine = engine
        self.compiler = compiler
        self.folder = folder
        self.sources = sources_of_models()
        self.objects = {}
        self.lock = Lock()

    def compile(self, source, places, target):
        """An object of one source, whose includes are looked for in places."""
        includes = [f"-I{place}" for place in (HERE, *places, ROOT / "include", ROOT / "src")]
        subprocess.run([*self.compiler, *FLAGS, *includes, "-c", source, "-o", target], check=True)
        return target

    def unchanged(self, source):
        """The object of a source as it is."""
        with self.lock:
            if source not in self.objects:
                target = self.folder / f"{len(self.objects)}.o"
                self.objects[source] = self.compile(source, (), target)
            return self.objects[source]

    def build(self, mistake, place):
        """The model of the mistake, in a folder of its own."""
        text = (ROOT / "src" / mistake.path).read_text(encoding="utf-8")
        if text.count(mistake.old) != 1:
            raise ValueError(f"{mistake.path} has its place {text.count(mistake.old)} times")
        changed = place / mistake.path
        changed.parent.mkdir(parents=True)
        changed.write_text(text.replace(mistake.old, mistake.new), encoding="utf-8")
        sources = self.sources[mistake.model]
        is_compiled = mistake.path in sources
        objects = [self.compile(changed, (), place / "changed.o")] if is_compiled else []
        for source in sources:
            if source != mistake.path:
                path = ROOT / "src" / source
                objects.append(self.unchanged(path) if is_compiled else
                               self.compile(path, (place,), place / f"{len(objects)}.o"))
        model = HERE / f"{mistake.model}_model.c"
        objects.append(self.unchanged(model) if is_compiled else
                       self.compile(model, (place,), place / "model.o"))
        subprocess.run([*self.compiler, *objects, self.engine, *LINK_FLAGS, "-o", place / "model"],
                       check=True)
        return place / "model"


def try_mistake(builder, number, mistake):
    """What became of it: the line of the TAP, and what the model says."""
    place = builder.folder / str(number)
    try:
        model = builder.build(mistake, place)
        result = subprocess.run([model, "-b", mistake.scenario], check=False, timeout=SECONDS,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        is_found = result.returncode == 1 and "# violated: " in result.stdout
        said = result.stdout.splitlines()[1:] or [f"exit status {result.returncode}"]
    except (ValueError, subprocess.SubprocessError) as error:
        is_found = False
        said = [f"# {error}"]
    return [f"{'ok' if is_found else 'not ok'} {number} - {mistake.name}",
            *(line for line in said if line.startswith("# "))]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__.split("\n\n")[1])
    is_deep = os.environ.get("FORKFOLD_MODEL") == "deep"
    wanted = [mistake for mistake in MISTAKES if is_deep or not mistake.is_deep]
    print(f"1..{len(wanted)}")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        builder = Builder(sys.argv[1], sys.argv[2:], Path(folder))
        tried = [pool.submit(try_mistake, builder, number, mistake)
                 for number, mistake in enumerate(wanted, 1)]
        for one in tried:
            print("\n".join(one.result()), flush=True)
        return any(one.result()[0].startswith("not") for one in tried)


if __name__ == "__main__":
    sys.exit(main())
