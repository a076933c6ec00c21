# SPDX-License-Identifier: BSD-2-Clause
"""What the simulation must notice: the product with one thing wrong.

A mutant is a piece of a source file under src/ that occurs once, and what stands there instead.
"""

import collections

Mutant = collections.namedtuple("Mutant", "name says file before after")

MUTANTS = [Mutant(*m) for m in (
    ("skip-flush", "SYNCHRONIZE CACHE is answered without a flush", "cmdset/sbc_misc.c",
     "	cmd_flush(cmd, ended);\n", "	ended(cmd);\n"),
    ("skip-fua", "a forced write is an ordinary one", "store/fdio.c",
     "	q->op.rw_flags = fua ? RWF_DSYNC : 0;\n", "	fua = false;\n	q->op.rw_flags = 0;\n"),
    ("skip-write-through", "without a write cache writes are cached all the same", "cmdset/sbc_rw.c",
     "		  fua_flag(cmd), write_ended);\n", "		  cmd->args.fua ? STORE_FUA : 0, write_ended);\n"),
    ("forgive-flush", "a flush that failed is forgotten", "store/request.c",
     "	if (!atomic_exchange(&s->base->sticky, true))\n", "	if (!atomic_load(&s->base->sticky))\n"),
    ("short-is-whole", "a short transfer counts as a whole one", "store/fdio.c",
     "		if (advance(io, (size_t)res)) {\n", "		if (advance(io, (size_t)res) || true) {\n"),
    ("skip-drain", "task management is answered while a store still has aborted commands", "sam/it_nexus.c",
     "	if (!itl->held_aborted) {\n		fn(d);\n", "	if (true) {\n		fn(d);\n"),
    ("skip-claim-wait", "a session is reinstated before the old one has ended", "sam/claim.c",
     "	if (old) {\n",
     "	if (old)\n		target_close_nexus(old);\n	if (old && old->state == NEXUS_STARTING) {\n"),
    ("early-answer", "a transaction is answered before every reactor has acknowledged it", "sam/transaction.c",
     "	lu->unacked = lu->nreactors;\n", "	lu->unacked = 1;\n"),
    ("forget-attention", "others hear nothing of what changed", "sam/transaction.c",
     "		if (itl != except)\n			lu_tell(itl, ua);\n",
     "		if (itl != except && ua == UA_COUNT)\n			lu_tell(itl, ua);\n"),
    ("forget-reset", "others hear nothing of a reset", "sam/transaction.c",
     "		lu_tell(itl, UA_BUS_DEVICE_RESET);\n", ""),
    ("keep-conflict", "a conflict with a reservation outlives it", "sam/transaction.c",
     "	itl->conflicts = itl->home.conflicts;\n", "	itl->conflicts |= itl->home.conflicts;\n"),
    ("no-conflict", "a reservation does not reach the reactors", "sam/transaction.c",
     "	itl->conflicts = itl->home.conflicts;\n", ""),
    ("silent-abort", "tasks that another nexus aborts are not answered", "sam/transaction.c",
     "	itl->home.abort = V_TASK_ABORTED;\n", "	itl->home.abort = V_ABORTED_SILENTLY;\n"),
    ("unordered", "ORDERED commands do not wait for older ones", "sam/taskset.c",
     "		return !ts->live && all_sent(cmd);\n", "		return true;\n"),
    ("overtake-ordered", "commands do not wait for older ORDERED ones", "sam/taskset.c",
     "	return !ts->ordered && !ts->hoq;\n", "	return !ts->hoq;\n"),
    ("no-guard", "COMPARE AND WRITE does not wait for writes under way", "sam/guard.c",
     "	part->guard_waits = part->view.guarded && !was_guarded && part->writes;\n",
     "	part->guard_waits = false;\n	(void)was_guarded;\n"),
    ("open-guard", "writes do not wait for a COMPARE AND WRITE under way", "sam/guard.c",
     "	if (unlikely(part->view.gate) || (write && unlikely(part->view.guarded) && !cmd->guard)) {\n",
     "	if (false) {\n"),
    ("open-gate", "requests do not wait while the store is exchanged", "sam/guard.c",
     "	if (unlikely(part->view.gate) || (write && unlikely(part->view.guarded) && !cmd->guard)) {\n",
     "	if (write && unlikely(part->view.guarded) && !cmd->guard) {\n"),
    ("lost-wakeup", "who waits for memory is not told of it", "reactor/bufpool.c",
     "	return p->freed && !list_empty(&p->waiters);\n", "	return false && p->freed;\n"),
    ("leak-credit", "a task that was aborted keeps its credit", "transport/iscsi/task.c",
     "		t->session->active--;\n", "		t->session->active -= !t->cmd.abort;\n"),
    ("leak-buffer", "the memory of data-out is not returned", "transport/iscsi/data_out.c",
     "		buf_put(t->seg_buf[--t->nseg]);\n", "		t->nseg--;\n"),
)]
