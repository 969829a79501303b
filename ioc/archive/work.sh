# The work of one errand on the host of a router.
#
# $1 is the action, $2 the kind of the destination, $3 its host for ssh, $4 the file here, $5 its place there (for rclone
# with the remote), $6 the most kB per second (0: no limit), $7 the algorithm and $8 the digits of its checksum. $9 and
# the following are scripts for the shell of the destination (there.sh), complete with their arguments.
#
# The last line of the output is the result, or the reason of a failure if the exit status is not 0. Exit status 69 says
# that the storage is not mounted, 70 that the copy was looked at and is not what it must be, 71 that the storage is that
# of another destination.

action=$1 kind=$2 host=$3 source=$4 target=$5 speed=$6 algorithm=$7 digits=$8
shift 8

# What a remote does not answer in a few minutes is tried again later. A bucket is never made: its name may be wrong.
rclone="$quietly rclone --retries=1 --low-level-retries=3 --contimeout=15s --timeout=2m"
export RCLONE_S3_NO_CHECK_BUCKET=true
ssh='ssh -T -x -a -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=4'

there() {
  if [ "$kind" = ssh ]; then printf '%s\n' "$1" | $ssh -- "$host" 'exec /bin/sh -s'; else printf '%s\n' "$1" | sh -s; fi
}
fail() { echo "$1"; exit 1; }
wrong() { echo "$1"; exit 70; }
# What the destination says; its exit status is one of those of errand.py, or that of ssh.
ask() {
  said=$(there "$1") && return
  status=$?
  echo "${said:-the destination did not answer}"
  exit "$status"
}
is_regular() {
  [ -L "$source" ] && fail "it is a symbolic link, but must be a file"
  [ -e "$source" ] || fail "it is not there any more"
  [ -f "$source" ] || fail "it is not a regular file any more"
}

# Sets found to the name of what is at a place at a remote of rclone; empty if nothing is.
find_at_remote() {
  found=$($rclone -q lsf --files-only -- "$1")
  status=$?
  # 3 and 4: there is no such directory, or file.
  case $status in 0) ;; 3 | 4) found= ;; *) exit "$status" ;; esac
}

# With rclone a copy has its final name at once. What has it already, and is none of ours, may be the only copy of
# another file: it gets another name.
make_room() {
  find_at_remote "$target"
  [ -z "$found" ] || exec $rclone -q moveto -- "$target" "${target%.graw}.replaced-$(date +%s)"
}

# As is_mounted in there.sh, for the remote $target: $1 is the destination, $2 are the others, $3 is a copy; with $4 the
# file that names the destination is made if it is missing.
see_place() {
  case $target in *: | */) marker=$target.attpc-archive ;; *) marker=$target/.attpc-archive ;; esac
  find_at_remote "$marker"
  owner=
  if [ -n "$found" ]; then
    owner=$($rclone -q cat -- "$marker") || fail "$marker cannot be read"
    case " $2 " in
      *" ${owner:-/} "*)
        echo "$target is the place of the destination $owner already: the same storage must not count as two"
        exit 71
        ;;
    esac
  elif [ -n "$3" ]; then
    find_at_remote "$3"
    if [ -z "$found" ]; then
      echo "its storage is not at $target (if it is another one: rclone touch $marker)"
      exit 69
    fi
  fi
  if [ -n "$4" ] && [ -z "$owner" ]; then
    echo "$1" | $rclone -q rcat -- "$marker" || echo "$marker cannot be written"
  fi
  echo ready
}

# The directories of a run for the merger, for which the remote is $target; a store without directories has them by a
# file in each.
make_directories() {
  empty=$(mktemp -d) || fail "no temporary directory can be made: $empty"
  for each; do
    mkdir -p "$empty/$each"
    : >"$empty/$each/.keep"
  done
  $rclone -q copy --ignore-existing -- "$empty" "$target"
  status=$?
  rm -rf "$empty"
  exit "$status"
}

copy() {
  is_regular
  if [ "$kind" = rclone ]; then
    limit=
    [ "$speed" = 0 ] || limit="--bwlimit=${speed}k"
    exec $rclone copyto --ignore-times $limit --stats=1s --use-json-log --stats-log-level=NOTICE -- \
      "$source" "$target"
  fi
  ask "$1"
  [ "$said" = ready ] || fail "$said"
  limit=
  [ "$speed" = 0 ] || limit="--bwlimit=$speed"
  # --inplace, because this name is not the final one, and what is there counts after any kind of interruption.
  set -- --inplace --partial --no-whole-file --ignore-times --times $limit --progress
  if [ "$kind" = ssh ]; then
    exec $quietly rsync "$@" --protect-args -e "$ssh" -- "$source" "$host:$target"
  elif command -v rsync >/dev/null; then
    exec $quietly rsync "$@" -- "$source" "$target"
  else
    exec $quietly cp -- "$source" "$target"
  fi
}

# Sets found to the digits of the checksum of what a command writes. A pipe has the exit status of its last program only.
sum_of() {
  found=$({ { "$@"; echo "$?" >&3; } | sum "$algorithm"; } 3>&1)
  set -- $found
  [ "$1" = 0 ] || fail "the copy cannot be read back"
  found=$2
}

# Sets found to the digits of the checksum of a copy at a remote of rclone.
sum_at_remote() {
  if [ "$algorithm" = sha256 ]; then
    found=$($rclone hashsum sha256 -- "$target" 2>/dev/null)
    found=${found%%[!0-9a-f]*}
    [ "${#found}" = 64 ] && return
  fi
  known "$algorithm" || fail "this host has no program for $algorithm"
  sum_of $rclone -q cat -- "$target"
}
digest() { sum_at_remote; echo "$found"; }

# The copy is compared where it is; if there is no program for that, its content comes back here.
check() {
  if [ "$kind" = rclone ]; then
    final=$target temporary=$1 found=
    [ -z "$temporary" ] || find_at_remote "$temporary"
    # After a kill between renaming and telling so, it has its final name already.
    if [ -n "$found" ]; then target=$temporary; else find_at_remote "$target"; fi
    [ -n "$found" ] || wrong "it is not at the destination any more"
    sum_at_remote
    compare
    [ "$target" = "$final" ] || finish
    echo same
    exit
  fi
  ask "$1"
  case $said in
    "sum "*) found=${said#sum }; compare; echo same; exit ;;
    none) ;;
    *) fail "$said" ;;
  esac
  known "$algorithm" || fail "neither this host nor the destination has a program for $algorithm"
  sum_of there "$2"
  compare
  there "$3"
}
compare() {
  [ "$found" = "$digits" ] || wrong "the checksum of the copy is $algorithm:${found:-?}, but must be $algorithm:$digits"
}

# Give a whole copy at a remote of rclone its final name.
finish() {
  target=$final
  find_at_remote "$final"
  if [ -n "$found" ]; then
    if [ "$(digest)" = "$digits" ]; then
      $rclone -q deletefile -- "$temporary" || exit
      return
    fi
    (make_room) || exit
  fi
  $rclone -q moveto -- "$temporary" "$final" || exit
}

# Sizes of copies, and not for rclone with an algorithm their checksums.
look() {
  if [ "$kind" = rclone ]; then exec $rclone -q lsjson --files-only --no-modtime --no-mimetype -- "$target"; fi
  there "$1"
}

$action "$@"
