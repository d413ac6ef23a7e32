#!/bin/bash
# Wraps a program on a node's PATH, under that program's name: numbers the calls, and kills the script's
# process group at call $STRIKE_AT, `before` or `after` the program has run.
name=${0##*/}
# Every stub is a bash script; only `bash -c` counts as a call.
if [[ $name == bash && ${1:-} != -c ]]; then exec "$STRIKE_BIN/bash" "$@"; fi

# Create the first file that does not exist yet, so that simultaneous calls get different numbers.
number=1
set -o noclobber
until { printf '%s %s\n' "$name" "${*//$'\n'/ }" >"$STRIKE_CALLS/$number"; } 2>/dev/null; do number=$((number + 1)); done

if [[ $number != "$STRIKE_AT" ]]; then exec "$STRIKE_BIN/$name" "$@"; fi
[[ $STRIKE_PHASE == before ]] || "$STRIKE_BIN/$name" "$@"
kill -KILL 0
