#!/bin/bash
# Stands before a program on a node's PATH, under that program's name: numbers its calls, and kills the process group of the
# script at call $STRIKE_AT, `before` it does anything or `after` it did everything.
name=${0##*/}
# Every stub is a bash script; only what a script does by `bash -c` is a call.
if [[ $name == bash && ${1:-} != -c ]]; then exec "$STRIKE_BIN/bash" "$@"; fi

# The file that does not exist yet is this call's: two calls at the same time get different numbers.
number=1
set -o noclobber
until { printf '%s %s\n' "$name" "${*//$'\n'/ }" >"$STRIKE_CALLS/$number"; } 2>/dev/null; do number=$((number + 1)); done

if [[ $number != "$STRIKE_AT" ]]; then exec "$STRIKE_BIN/$name" "$@"; fi
[[ $STRIKE_PHASE == before ]] || "$STRIKE_BIN/$name" "$@"
kill -KILL 0
