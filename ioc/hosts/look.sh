# Looks at the data routers of a host (Linux and macOS); fed to "sh -s", and read by look.py.
#
# $1 is the run directory asked about, $2 the seconds that lsof may take; the rest are directories to look at besides
# those of the processes. A section begins with a line "@NAME". Paths come in hexadecimal, since they may hold any byte:
# a line with their key, and lines that begin with a blank. Each program that is started costs time on the host.
#
# Linux has everything in /proc. lsof is used only where there is no /proc, and never while an earlier one still hangs:
# a process that waits in the kernel for a dead file server cannot be killed.
#
# The tables of sockets are read before and after the descriptors: a router that takes a connection changes its listener
# for a connection at that moment, and must be found by one of them.

hex() { printf '%s\n' "$1"; od -An -v -tx1; }
look() {
  printf '@directory %s\n' "$1"
  (
    cd "$2" || { printf 'reason %s\n' "$(ls -ld "$2/." 2>&1 >/dev/null)"; exit; }
    pwd -P | hex path
    if files=$(ls -lnq 2>&1); then
      printf '%s\n' "$files" | awk '/^-/ && /\.graw$/ { n++; s += $5 } END { printf "graw %.0f %.0f\n", n, s }'
    else
      printf 'reason %s\n' "$files"
    fi
    df -Pk .
    if [ -e "$run" ] || [ -L "$run" ]; then echo 'run yes'; else echo 'run no'; fi
    # Of a name that does not exist rmdir says first that the file system is read-only.
    [ -w . ] || { printf 'unwritable '; rmdir './.no such directory' 2>&1 | tail -n 1; }
  )
}
tables() {
  for table in tcp tcp6 udp udp6; do
    awk -v table="$table" 'NR > 1 { print table, $2, $3, $4, $8, $10 }' "$proc/net/$table"
  done
}
linux() {
  printf '@boot\n'; cat "$proc/sys/kernel/random/boot_id"
  before=$(tables); inodes=' '; users=' '
  for entry in "$proc"/[0-9]*; do
    read -r pid name state parent rest <"$entry/stat" || continue
    [ "$name" = '(dataRouter)' ] && [ "$state" != Z ] && [ "$state" != X ] || continue
    printf '@process %s\nstat %s\n' "$pid" "$rest"
    echo "parent $parent"
    hex arguments <"$entry/cmdline"
    if sockets=$(ls -l "$entry/fd"); then
      sockets=$(printf '%s\n' "$sockets" | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p')
      for socket in $sockets; do echo "socket $socket"; inodes="$inodes$socket "; done
    else
      user=$(awk '/^Uid:/ { print $3 }' "$entry/status"); echo "user $user"; users="$users$user "
    fi
    link=$(readlink "$entry/cwd" && echo .) && link=${link%??} && {
      printf '%s' "$link" | hex link
      [ "$entry/cwd/." -ef "$link" ] && echo 'here yes'
      [ "$entry/ns/mnt" -ef "$proc/self/ns/mnt" ] || echo 'apart yes'
    }
    look "process $pid" "$entry/cwd"
  done
  echo @sockets
  { printf '%s\n' "$before"; tables; } | awk -v inodes="$inodes" -v users="$users" '
    $4 == "0A" || index(inodes, " " $6 " ") || index(users, " " $5 " ")'
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
  processes=$(ps -A -ww -o pid= -o ppid= -o stat= -o lstart= -o comm= | grep dataRouter)
  printf '@processes\n%s\n' "$processes"
  pids=$(printf '%s\n' "$processes" | awk '$3 !~ /^Z/ && /[ \/]dataRouter$/ { print $1 }')
  [ -n "$pids" ] || return
  for pid in $pids; do printf '@arguments %s\n' "$pid"; ps -ww -o args= -p "$pid" | hex arguments; done
  old=$(ps -A -o pid= -o etime= -o args= | awk '/[l]sof .*-c dataRouter/ && $2 !~ /^0?0:[01]/ { print $1 }')
  for pid in $old; do kill -9 "$pid"; kill -0 "$pid" && { echo @hung; return; }; done
  echo @lsof
  lsof_of_routers C -i -FpcPnT && return
  echo @directories
  # In a UTF-8 locale lsof escapes no letters. What it does escape (control characters) cannot be found then.
  found=$(lsof_of_routers en_US.UTF-8 -d cwd -Fpcin)
  case $found in *@hung) echo @hung; return ;; esac
  printf '%s\n' "$found" | while IFS= read -r line; do
    case $line in
      p*) pid=${line#p} ;;
      i*) inode=${line#i} ;;
      n*) look "process $pid" "${line#n}"; printf '%s' "${line#n}" | hex link
          printf 'inode %s %s\n' "$inode" "$(ls -di "${line#n}/.")" ;;
    esac
  done
}
main() {
  proc=/proc; run=$1; limit=$2; shift 2
  echo @begin
  if [ -r "$proc/self/stat" ]; then linux; else others; fi
  number=0
  for directory; do
    case $directory in "~" | "~/"*) directory=$HOME${directory#"~"} ;; esac
    [ -n "$directory" ] && look "given $number" "$directory"
    number=$((number + 1))
  done
  echo @end
}
