# SPDX-License-Identifier: BSD-2-Clause
# For shell scenarios: . "$LAB_SOURCE/tests/guest/guest/scenario.sh"

# lab_host WORD...: run the scenario's host side with these words; its output, its status
lab_host() {
	python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import scenario
print(scenario.host(*sys.argv[2:]), end="")' "$LAB_SOURCE/tests/guest/guest" "$@"
}

# point SENTENCE COMMAND...: a test point; a command that fails ends the scenario
point() {
	sentence=$1
	shift
	if "$@"; then
		echo "ok - $sentence"
	else
		echo "not ok - $sentence (status $?)"
		exit 1
	fi
}
