# Copies one filed file to a destination, or looks at its copy, on the host of its router (Linux or macOS); fed to "sh
# -s" by errand.py.
#
# $1 is the work: a script of its own, work.sh, which gets the other arguments. It and its children have a process group
# of their own. The input of this shell stays open as long as somebody waits for the work. When it ends (a run starts,
# the IOC dies, the connection is lost), the group gets SIGTERM, and SIGKILL a second later.
#
# dash makes no process group without a terminal, but Linux has setsid; macOS has no setsid, but its sh makes one.

exec 3<&0
PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/opt/homebrew/bin LC_ALL=C
export PATH LC_ALL

end() { kill -TERM "-$group"; sleep 1; kill -KILL "-$group"; }

main() {
  work=$1; shift
  if command -v setsid >/dev/null; then
    setsid sh -c "$work" work "$@" 2>&1 3<&- &
  else
    set -m
    (sh -c "$work" work "$@" 2>&1) 3<&- &
    set +m
  fi
  group=$!
  (read -r nothing <&3; end) >/dev/null &
  reader=$!
  wait "$group"; status=$?
  kill -KILL "-$group"
  kill "$reader"
  exit "$status"
}
