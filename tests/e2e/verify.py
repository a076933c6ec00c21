#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The verify workload (verify.c) over pairs of everything that data paths differ in: thin and thick, block sizes,
engines, one and two reactors. STGT_VERIFY_MIB is what the first one moves; the others move a quarter."""

import os

from lab import BUILD, cases, main

MIB = int(os.environ.get("STGT_VERIFY_MIB", "1024"))
VERIFY = os.environ.get("VERIFY", os.path.join(BUILD, "tests", "e2e", "verify"))


# Five rows in which every pair of values of every two columns occurs.
@cases(("thick, 512, uring, two reactors", MIB, None, 512, "auto", 2),
       ("thick, 4096, epoll, one reactor", MIB // 4, None, 4096, "epoll", 1),
       ("thin, 512, epoll, one reactor", MIB // 4, "thin_provisioning=1", 512, "epoll", 1),
       ("thin, 4096, uring, one reactor", MIB // 4, "thin_provisioning=1", 4096, "auto", 1),
       ("thin, 4096, epoll, two reactors", MIB // 4, "thin_provisioning=1", 4096, "epoll", 2))
def what_is_read_is_what_was_written(lab, mib, params, block_size, engine, reactors):
    d = lab.start(portals=("127.0.0.1", "[::1]"), options=("--engine", engine, "--reactors", str(reactors)))
    d.export(lab.image("%dM" % max(32, mib // 4)), block_size=block_size, params=params)
    done = lab.run(VERIFY, "--portal", d.portal(0), "--portal", d.portal(1), "--target", d.name, "--lun", 1,
                   "--sessions", 6, "--depth", 16, "--mib", mib, seconds=200)
    print("# " + done.stdout.strip())


main()
