#!/usr/bin/env bash
# Runs a node script detached from the SSH connection that brought it, and follows it from any later connection.
#
#   start NAME [--] ARGS…   start the script in $payload (base64) as NAME, or join it when it already runs with the same ARGS
#   follow NAME OFFSET [MARK]
#                           print NAME's log from byte OFFSET until it ends, after the line MARK where one is given, and exit as it did;
#                           only "ended: CODE" (or "ended: lost") on standard error says that it has: any other end is of what followed it
#
# Sent over one connection, as root, from runtime/dist/node-scripts:
#   { printf "payload='%s'\n" "$(base64 -w0 <update_k8s.sh)"; cat detach.sh; } |
#     ssh NODE 'sudo -n bash -s -- start update_k8s -- --role worker --release 1.34.5'
#
# Exit codes of its own: 2 bad input, 200 the script is gone and left no exit code (reboot, kill -9),
# 201 NAME runs with another script or other arguments, 202 what followed NAME was disturbed: follow again.
set -euo pipefail

lost=200
busy=201
disturbed=202
root="${K8S_UPGRADE_ROOT:-}"

fail() {
  printf 'error: %s\n' "$2" >&2
  exit "$1"
}

# The script's own process: its exit code is on disk before its locks are free.
# shellcheck disable=SC2016 # expanded by that process
runner='trap "" HUP; umask 022; run=$1; shift
bash "$run/script" "$@" 7>&- && code=0 || code=$?
printf "%s\n" "$code" >"$run/exit.new" && mv -f "$run/exit.new" "$run/exit"'

# Three locks: 7 is held by the script's process alone, 8 by it and all that it started, 9 while a connection decides.
# The kernel drops them with their holders, whatever ends those.
open_state() {
  state="$root/run/k8s-upgrade/$name"
  log="$root/var/log/k8s-upgrade/$name.log"
  umask 077
  mkdir -p "$state" "${log%/*}" || fail 1 "cannot write below $root/run and $root/var/log; run this as root"
  exec 9>>"$state/guard" 8>>"$state/family" 7>>"$state/alive"
  flock -w 30 9 || fail 1 "another connection is starting $name; try again"
}

recorded() { [[ -s $state/exit ]]; }

launch() {
  flock 7
  printf '%s\n' "$script" >"$state/script"
  printf '%s\n' "$arguments" >"$state/args"
  rm -f "$state/exit"
  [[ ! -e $log ]] || mv -f "$log" "$log.1"
  : >"$log"
  setsid bash -c "$runner" "$name" "$state" "$@" </dev/null >>"$log" 2>&1 9>&- &
  printf '%s\n' "$!" >"$state/pid"
  printf 'result: {"state":"started","offset":0}\n'
}

join() {
  if [[ $(<"$state/args") != "$arguments" || $(<"$state/script") != "$script" ]]; then
    fail "$busy" "$name is already running on this node as: $name $(<"$state/args"); wait for it to end (log: $log)"
  fi
  printf 'result: {"state":"joined","offset":0}\n'
}

start() {
  local script arguments
  [[ ${1:-} != -- ]] || shift
  [[ -n ${payload:-} ]] || fail 2 "no script: put the line payload='<base64 of the script>' before this one"
  script=$(base64 -d <<<"$payload") || fail 2 "payload: expected base64"
  arguments=${*@Q}
  open_state
  # A follower holds the lock for an instant when a script has ended.
  if flock -w 0.1 8; then
    launch "$@"
  elif recorded; then
    # It has ended; something that it left behind still has the old lock open.
    rm -f "$state/family"
    exec 8>>"$state/family"
    flock 8
    launch "$@"
  else
    join
  fi
}

# Ends with the script; when that was killed, with the last process that it had started: nothing may run beside those.
wait_for_end() {
  flock -s 7
  recorded || flock -s 8
}

# The waiter may have been killed: only free locks say that the script has ended.
has_ended() { flock -s -n 7 && { recorded || flock -s -n 8; }; }

follow() {
  local offset=$1 mark=${2:-} waiter
  [[ $offset =~ ^[0-9]{1,15}$ ]] || fail 2 "OFFSET: \"$offset\" is not allowed; expected a number of bytes"
  [[ $mark =~ ^[a-z0-9-]{0,64}$ ]] || fail 2 "MARK: \"$mark\" is not allowed; expected lower-case letters, digits and -"
  open_state
  exec 9>&-
  wait_for_end </dev/null >/dev/null 2>&1 &
  waiter=$!
  # shellcheck disable=SC2064 # the process id as it is now
  trap "kill $waiter 2>/dev/null || true" EXIT
  # A login shell may have printed something before.
  [[ -z $mark ]] || printf '%s\n' "$mark"
  if [[ -e $log ]]; then
    # tail reads once more after the waiter is gone, so the last bytes are not lost.
    tail -c "+$((offset + 1))" -s 0.05 --pid="$waiter" -f "$log"
  else
    # It has not run, or somebody removed the log of one that runs.
    wait "$waiter" || true
  fi
  has_ended || fail "$disturbed" "what followed $name was killed"
  if recorded; then
    printf 'ended: %s\n' "$(<"$state/exit")" >&2
    exit "$(<"$state/exit")"
  fi
  printf 'ended: lost\n' >&2
  [[ -e $log ]] || fail "$lost" "$name has not run on this node"
  fail "$lost" "$name ended without an exit code: the node rebooted or somebody killed it"
}

main() {
  local command=${1:-} name=${2:-}
  [[ $command == start || $command == follow ]] || fail 2 "\"$command\" is not a command; expected start or follow"
  [[ $name =~ ^[a-z][a-z0-9_]{0,31}$ ]] || fail 2 "NAME: \"$name\" is not allowed; expected lower-case letters, digits and _"
  shift 2
  if [[ $command == follow ]]; then
    (($# == 1 || $# == 2)) || fail 2 "follow: expected NAME and OFFSET, and at most MARK"
  fi
  "$command" "$@"
}

main "$@"
