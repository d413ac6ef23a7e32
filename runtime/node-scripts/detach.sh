#!/usr/bin/env bash
# Runs a node script detached from the SSH connection that sent it, and follows it from any later connection.
#
#   start NAME [--] ARGS…
#       Starts the script in $payload (base64) as NAME, or joins it when it already runs with the same ARGS.
#   follow NAME OFFSET [MARK [running]]
#       Prints the line MARK, when given, and NAME's log from byte OFFSET until NAME ends; exits as NAME did.
#       NAME has ended only when stderr has "ended: CODE" or "ended: lost"; otherwise only this command has
#       ended. With "running", prints neither when NAME had ended before, as its log is then old; otherwise
#       stderr has "running since: TIME" first.
#
# Sent over one connection, as root, from runtime/dist/node-scripts:
#   { printf "payload='%s'\n" "$(base64 -w0 <update_k8s.sh)"; cat detach.sh; } |
#     ssh NODE 'sudo -n bash -s -- start update_k8s -- --role worker --release 1.34.5'
#
# Its own exit codes: 2 bad input, 200 the script is gone and left no exit code (reboot, kill -9),
# 201 NAME runs with another script or other arguments, 202 this command was interrupted: follow again.
set -euo pipefail

lost=200
busy=201
interrupted=202
root="${K8S_UPGRADE_ROOT:-}"

fail() {
  printf 'error: %s\n' "$2" >&2
  exit "$1"
}

# The script's process: it writes the exit code to disk before it releases its locks.
# shellcheck disable=SC2016 # expanded by that process
runner='trap "" HUP; umask 022; run=$1; shift
bash "$run/script" "$@" 7>&- && code=0 || code=$?
printf "%s\n" "$code" >"$run/exit.new" && mv -f "$run/exit.new" "$run/exit"'

# Three locks: the script's process holds 7; it and all processes that it started hold 8; a connection holds 9
# while it decides what to do. The kernel releases them when their holders end, however they end.
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
  # A follower holds the lock for a moment when a script has ended.
  if flock -w 0.1 8; then
    launch "$@"
  elif recorded; then
    # It has ended, but a process that it started still holds the old lock.
    rm -f "$state/family"
    exec 8>>"$state/family"
    flock 8
    launch "$@"
  else
    join
  fi
}

# Returns when the script ends; when it was killed, when the last process ends that it had started, as
# nothing may run in parallel to those.
wait_for_end() {
  flock -s 7
  recorded || flock -s 8
}

# True when the script has ended. Checks the locks, as the waiter may have been killed.
has_ended() { flock -s -n 7 && { recorded || flock -s -n 8; }; }

report_end() {
  if recorded; then
    printf 'ended: %s\n' "$(<"$state/exit")" >&2
    exit "$(<"$state/exit")"
  fi
  printf 'ended: lost\n' >&2
  [[ -e $log ]] || fail "$lost" "$name has not run on this node"
  fail "$lost" "$name ended without an exit code: the node rebooted or somebody killed it"
}

follow() {
  local offset=$1 mark=${2:-} only=${3:-} waiter
  [[ $offset =~ ^[0-9]{1,15}$ ]] || fail 2 "OFFSET: \"$offset\" is not allowed; expected a number of bytes"
  [[ $mark =~ ^[a-z0-9-]{0,64}$ ]] || fail 2 "MARK: \"$mark\" is not allowed; expected lower-case letters, digits and -"
  [[ -z $only || $only == running ]] || fail 2 "\"$only\" is not an option; expected running"
  open_state
  exec 9>&-
  if [[ $only == running ]]; then
    ! has_ended || report_end
    printf 'running since: %s\n' "$(date -u -r "$state/args" +%FT%TZ || printf unknown)" >&2
  fi
  wait_for_end </dev/null >/dev/null 2>&1 &
  waiter=$!
  # shellcheck disable=SC2064 # the current process id
  trap "kill $waiter 2>/dev/null || true" EXIT
  # A login shell may have printed text before the log.
  [[ -z $mark ]] || printf '%s\n' "$mark"
  if [[ -e $log ]]; then
    # tail reads once more after the waiter is gone, so the last bytes are printed.
    tail -c "+$((offset + 1))" -s 0.05 --pid="$waiter" -f "$log"
  else
    # NAME has not run, or somebody removed its log.
    wait "$waiter" || true
  fi
  has_ended || fail "$interrupted" "the process that followed $name was killed"
  report_end
}

main() {
  local command=${1:-} name=${2:-}
  [[ $command == start || $command == follow ]] || fail 2 "\"$command\" is not a command; expected start or follow"
  [[ $name =~ ^[a-z][a-z0-9_]{0,31}$ ]] || fail 2 "NAME: \"$name\" is not allowed; expected lower-case letters, digits and _"
  shift 2
  if [[ $command == follow ]]; then
    (($# >= 1 && $# <= 3)) || fail 2 "follow: expected NAME and OFFSET, and at most MARK and running"
  fi
  "$command" "$@"
}

main "$@"
