# Looks at the data routers of a host (Linux and macOS); fed to "sh -s", and read by look.py.
#
# $1 is the run directory asked about, $2 the seconds that lsof may take; the rest are directories to look at besides
# those of the processes. A section begins with a line "@NAME"; if one name comes twice, its lines belong together.
# Paths that may hold any byte come in hexadecimal: a line with their key, and lines that begin with a blank.
#
# Each program that is started costs a millisecond or more of the host's time, so their number does not depend on the
# number of routers: what the shell cannot do itself is done by one program for all routers (one ls for all directories,
# one df, one od for all arguments). Only directories with odd names or problems are looked at alone.
#
# Linux has everything in /proc. lsof is used only where there is no /proc, and never while an earlier one still hangs:
# a process that waits in the kernel for a dead file server cannot be killed.
#
# The tables of sockets are read before the descriptors: each costs the kernel milliseconds if there are thousands of
# connections. They are read once more if a descriptor has a socket that was in none of them: a router that takes a
# connection changes its listener for a connection at that moment. Sockets without an inode are connections that have
# ended, often tens of thousands, which the tables list as those of root.

newline='
'
hex() { printf '%s\n' "$1"; od -An -v -tx1; }

# Directories: those that "listings" looks at, all at once, are collected in $places, each once.
look() {
  printf '@directory %s\n' "$1"
  usable "$2" || { look_alone "$2"; return 1; }
  printf 'at %s\n' "$PWD"
  there_is_run
  case $places in *"$newline$PWD/.$newline"*) ;; *) places=$places$PWD/.$newline ;; esac
}
usable() {
  cd -P "$1" || return
  case $PWD in [!/]* | *[!\ -~]* | "$proc"/*) return 1 ;; esac
  [ . -ef "$PWD" ] && [ -r . ] && [ -w . ]
}
there_is_run() { if [ -e "$run" ] || [ -L "$run" ]; then echo 'run yes'; else echo 'run no'; fi; }
look_alone() (
  cd "$1" || { printf 'reason %s\n' "$(ls -ld "$1/." 2>&1 >/dev/null)"; exit; }
  pwd -P | hex path
  if files=$(ls -lnq 2>&1) || files=$(ls -ln 2>&1); then
    printf '%s\n' "$files" | awk '/^-/ && /\.graw$/ { n++; s += $5 } END { printf "graw %.0f %.0f\n", n, s }'
  else
    printf 'reason %s\n' "$files"
  fi
  df -Pk .
  there_is_run
  # Of a name that does not exist rmdir says first that the file system is read-only.
  [ -w . ] || { printf 'unwritable '; rmdir './.no such directory' 2>&1 | tail -n 1; }
)
# A single directory would be listed without its name. The ls of busybox does what -q asks for, but does not know it.
list() { options=$1; shift; [ $# -gt 1 ] || set -- "$1" "$1"; ls "$options" "$@"; }
listings() (
  cd /; set -f; IFS=$newline; set -- $places
  [ $# -gt 0 ] || exit
  { list -lnq "$@" || list -ln "$@"; } | awk '
    function tell() { if (place != "") printf "@listing %s\ngraw %.0f %.0f\n", place, n, s }
    /^\/.*\/\.:$/ { tell(); place = substr($0, 1, length($0) - 3); n = s = 0 }
    /^-/ && /\.graw$/ { n++; s += $5 }
    END { tell() }'
  df -Pk "$@" | awk '
    BEGIN { for (i = 1; i < ARGC; i++) place[i] = substr(ARGV[i], 1, length(ARGV[i]) - 2); all = ARGC - 1; ARGC = 1 }
    NR > 1 { disk[NR - 1] = $0 }
    END { if (NR - 1 != all) exit 1; for (i = 1; i <= all; i++) printf "@listing %s\n%s\n", place[i], disk[i] }' "$@" ||
    for place; do printf '@listing %s\n' "${place%/.}"; df -Pk "$place"; done
  [ -z "$pids" ] || ls -di "$@" | awk '
    { node = $1; sub(/^ *[0-9]+ /, ""); printf "@listing %s\nnode %s\n", substr($0, 1, length($0) - 2), node }'
)

linux() {
  boot=$proc/sys/kernel/random/boot_id; read -r number <"$boot"; printf '@boot\n%s\n' "$number"
  # "read" of the shell would ask the kernel for each byte.
  found=$(grep -hs '^[0-9]* (dataRouter) ' "$proc"/[0-9]*/stat); [ -n "$found" ] || return
  tables=
  for table in tcp tcp6 udp udp6; do [ -r "$proc/net/$table" ] && tables="$tables $proc/net/$table"; done
  before=$(awk '
    FNR == 1 { table = FILENAME; sub(".*/", "", table); next }
    table == "unix" { print "known", $7; next }
    $10 { print "row", table, $2, $3, $4, $8, $10, $5 }' $tables "$proc/net/unix")
  arguments=; descriptors=; users=' '
  IFS=$newline; set -- $found; unset IFS
  for stat; do
    set -- $stat; pid=$1; entry=$proc/$pid
    [ "$3" != Z ] && [ "$3" != X ] && [ -d "$entry" ] || continue
    printf '@process %s\nparent %s\nstart %s\n' "$pid" "$4" "${22}"
    arguments="$arguments $boot $entry/cmdline"
    if [ -r "$entry/fd" ] && [ -e "$entry/exe" ]; then
      descriptors="$descriptors $entry/fd"
    else
      user=; while read -r key real user more; do [ "$key" != Uid: ] || break; done <"$entry/status"
      echo "user $user"; users="$users$user "
    fi
    # Of a directory deleted meanwhile, a link that is read after the look says so.
    if look "process $pid" "$entry/cwd"; then
      printf '@process %s\nhere yes\n' "$pid"
    else
      printf '@process %s\n' "$pid"
      link=$(readlink "$entry/cwd" && echo .) && link=${link%??} && {
        printf '%s' "$link" | hex link
        [ "$entry/cwd/." -ef "$link" ] && echo 'here yes'
        [ "$entry/ns/mnt" -ef "$proc/self/ns/mnt" ] || echo 'apart yes'
      }
    fi
  done
  # The number of the boot, which is in no argument, separates the arguments of one process from those of the next.
  [ -n "$arguments" ] && { echo @arguments; od -An -v -tx1 $arguments; }
  {
    printf '%s\n' "$before"
    [ -z "$descriptors" ] || list -ln $descriptors
  } | awk -v users="$users" -v tables="$tables" '
    function tell(table, local, remote, state, user, inode, queues) {
      if (state != "0A" && !(inode in mine) && !index(users, " " user " ")) return
      if (!told++) print "@sockets"
      print table, local, remote, state, user, inode, queues
    }
    function again(file, table) {
      table = file; sub(".*/", "", table)
      while ((getline <file) > 0) if ($10 && $2 ~ /:/) tell(table, $2, $3, $4, $8, $10, $5)
    }
    $1 == "known" { known[$2]; next }
    $1 == "row" { row[++rows] = $0; known[$7]; next }
    /^\/.*\/fd:$/ { n = split($0, part, "/"); print "@process " part[n - 1] }
    / socket:\[[0-9]+\]$/ {
      gsub(/[^0-9]/, "", $NF); mine[$NF]; print "socket " $NF
      if (!($NF in known)) changed = 1
    }
    END {
      for (i = 1; i <= rows; i++) {
        split(row[i], part); tell(part[2], part[3], part[4], part[5], part[6], part[7], part[8])
      }
      if (!changed && users == " ") exit
      n = split(tables, file); for (i = 1; i <= n; i++) again(file[i])
    }'
}

lsof_of_routers() {
  locale=$1; shift
  LC_ALL=$locale lsof -w -nP -a -c dataRouter "$@" & job=$!
  tenths=0
  while kill -0 "$job" && [ "$tenths" -lt "${limit}0" ]; do sleep 0.1; tenths=$((tenths + 1)); done
  kill -9 "$job" && echo @hung
}
others() {
  for tool in ps lsof; do command -v "$tool" >/dev/null || printf '@missing %s\n' "$tool"; done
  processes=$(ps -A -ww -o pid= -o ppid= -o stat= -o lstart= -o comm=) || echo '@failed ps'
  processes=$(printf '%s\n' "$processes" | grep dataRouter)
  printf '@processes\n%s\n' "$processes"
  pids=$(printf '%s\n' "$processes" | awk '$3 !~ /^Z/ && /[ \/]dataRouter$/ { printf "%s%s", comma, $1; comma = "," }')
  [ -n "$pids" ] || return
  echo @commands; ps -ww -o pid= -o args= -p "$pids" | sed 's/^/ /'
  old=$(ps -A -o pid= -o etime= -o args= | awk '/[l]sof .*-c dataRouter/ && $2 !~ /^0?0:[01]/ { print $1 }')
  for pid in $old; do kill -9 "$pid"; kill -0 "$pid" && { echo @hung; return; }; done
  echo @lsof
  lsof_of_routers C -i -FpcPnT && return
  echo @directories
  # In a UTF-8 locale lsof escapes no letters. What it does escape (control characters) cannot be found then.
  found=$(lsof_of_routers en_US.UTF-8 -d cwd -Fpcin)
  case $found in *@hung) echo @hung; return ;; esac
  while IFS= read -r line; do
    case $line in
      p*) pid=${line#p} ;;
      i*) inode=${line#i} ;;
      n*) name=${line#n}
          look "process $pid" "$name" && echo "inode $inode" || echo "inode $inode $(ls -di "$name/.")"
          case $name in *[!\ -~]*) printf '%s' "$name" | hex link ;; *) printf 'name %s\n' "$name" ;; esac ;;
    esac
  done <<FOUND
$found
FOUND
}

main() {
  proc=/proc; run=$1; limit=$2; places=$newline; pids=; shift 2
  echo @begin
  if [ -r "$proc/self/stat" ]; then linux; else others; fi
  number=0
  for directory; do
    case $directory in "~" | "~/"*) directory=$HOME${directory#"~"} ;; esac
    [ -n "$directory" ] && look "given $number" "$directory"
    number=$((number + 1))
  done
  listings
  echo @end
}
