# Runs a hook on its machine (Linux or macOS); fed to "sh -s" by command.py.
#
# $1 is the time after which it is ended in any case, $2 the run as JSON, $3 the number of variables; then come these,
# NAME=VALUE, and the program with its arguments.
#
# The input of this shell stays open as long as somebody waits for the hook. When it ends (time-out, Stop, death of the
# IOC, lost connection), the program and its children are ended: they have a process group of their own, which gets
# SIGTERM, and SIGKILL a second later. What the program leaves running in this group ends with it.
#
# dash makes no process group without a terminal, but Linux has setsid; macOS has no setsid, but its sh makes one.

exec 3<&0

end() { kill -TERM "-$group"; sleep 1; kill -KILL "-$group"; }

main() {
  limit=$1; document=$2; variables=$3; shift 3
  while [ "$variables" -gt 0 ]; do export "$1"; shift; variables=$((variables - 1)); done
  program=$1; shift
  case $program in "~/"*) program=$HOME${program#"~"} ;; esac
  case $program in
    */*) [ -f "$program" ] && [ -x "$program" ] ;;
    *) command -v "$program" >/dev/null ;;
  esac || {
    if [ -e "$program" ]; then echo "$program may not be executed"; else echo "$program does not exist"; fi
    exit 127
  }
  if command -v setsid >/dev/null; then
    printf '%s\n' "$document" | setsid "$program" "$@" 2>&1 3<&- &
  else
    set -m
    (printf '%s\n' "$document" | "$program" "$@" 2>&1) 3<&- &
    set +m
  fi
  group=$!
  (read -r nothing <&3; end) >/dev/null &
  reader=$!
  # SIGKILL, because dash swallows a SIGTERM that comes before its child has become the program.
  (trap 'kill -KILL "$!"; exit' TERM; sleep "$limit" & wait "$!"; end) >/dev/null 3<&- &
  timer=$!
  wait "$group"; status=$?
  kill -KILL "-$group"
  kill "$reader" "$timer"
  exit "$status"
}
