# SPDX-License-Identifier: BSD-2-Clause
def write(*_):
    pass
