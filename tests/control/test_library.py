#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What `make install` puts in place is enough to build programs with libstgt, by pkg-config alone."""

import os
import re
import shlex
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lab import BUILD, SOURCE, main, need, test  # noqa: E402


def installed(lab):
    """(words that run a command with it, folder) of an installation below the test's folder."""
    root = lab.path("root")
    lab.run(need("meson"), "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root)
    found = [folder for folder, _, names in os.walk(root) if "stgt.pc" in names]
    assert len(found) == 1, found
    return ["env", "PKG_CONFIG_LIBDIR=" + found[0], "PKG_CONFIG_SYSROOT_DIR=" + root,
            "LD_LIBRARY_PATH=" + os.path.dirname(found[0])], root


def build(lab, use, source):
    flags = shlex.split(lab.run(*use, "pkg-config", "--cflags", "--libs", "stgt").stdout)
    program = lab.path("program")
    lab.run("cc", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-o", program, source, *flags)
    return program


def page_example():
    """The program of the page, as troff prints it."""
    with open(os.path.join(SOURCE, "man", "libstgt.3"), encoding="utf-8") as f:
        section = f.read().split(".Sh EXAMPLES\n")[1]
    text = re.search(r"^\.Bd .*?\n(.*?)^\.Ed$", section, re.M | re.S).group(1)
    return text.replace("\\e", "\\").replace("\\-", "-")


@test
def the_example_is_built_by_pkg_config_and_runs(lab):
    use, _ = installed(lab)
    program = build(lab, use, os.path.join(SOURCE, "docs", "examples", "embed.c"))
    said = lab.run(*use, program).stdout
    assert re.fullmatch(r"vendor .*VIRTUAL-DISK.*\nblock 7: kept by a target in this program\n", said), said


@test
def the_example_of_the_page_works(lab):
    use, root = installed(lab)
    source = lab.path("size.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write(page_example())
    assert lab.run(*use, build(lab, use, source)).stdout == "last block: 2097151\n"
    pages = [name for _, _, names in os.walk(root) for name in names if name.startswith("libstgt.3")]
    assert pages, "the page is not installed"


@test
def a_cpp_program_can_include_the_header(lab):
    source = lab.path("a.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write("#include <stgt/stgt.h>\nint main(void) { return stgt_api() != STGT_API; }\n")
    lab.run("clang", "-x", "c++", "-std=c++11", "-pedantic-errors", "-fsyntax-only", "-I",
            os.path.join(SOURCE, "include"), source)


main()
