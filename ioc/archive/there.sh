# What happens at a destination (Linux or macOS), which is a directory of the router's host or reached from there by ssh;
# fed to "sh -s" there.

facts() { stat -c '%s %d:%i' "$1" 2>/dev/null || stat -f '%z %d:%i' "$1"; }
fail() { echo "$1"; exit 1; }
not_mounted() { echo "$1"; exit 69; }
wrong() { echo "$1"; exit 70; }

# A disk that is not mounted must not be taken for one on which nothing is yet, and one storage not for two. So a file
# in the directory of the destination names it; where it is missing, a copy that was made before it was invented must be.
# $1 is the directory, $2 the destination, $3 are the other destinations, $4 is a copy, empty if there was none.
is_mounted() {
  [ -d "$1" ] || not_mounted "there is no directory $1 at the destination: make it, or mount its disk"
  if [ -e "$1/.attpc-archive" ]; then
    read -r owner <"$1/.attpc-archive"
    case " $3 " in
      *" ${owner:-/} "*)
        echo "$1 is the place of the destination $owner already: the same storage must not count as two"
        exit 71
        ;;
    esac
  elif [ -n "$4" ] && [ ! -e "$4" ]; then
    not_mounted "its disk is not mounted at $1 (if it is another disk: touch $1/.attpc-archive)"
  fi
}

# The arguments of is_mounted; then may come directories that are made there.
prepare() {
  is_mounted "$@"
  # A directory that is not ours may have ours in it: then it goes without.
  [ -s "$1/.attpc-archive" ] || { echo "$2" >"$1/.attpc-archive"; } 2>/dev/null
  shift 4
  [ $# = 0 ] || mkdir -p "$@" || exit 1
  echo ready
}

# The arguments of is_mounted; then $1 is the temporary name, $2 the final name, $3 the algorithm, $4 the digits. A copy
# gets its final name only when it is known to be right; after a kill in between, it has it already.
check() {
  is_mounted "$@"
  shift 4
  copy=$1
  [ -e "$copy" ] || copy=$2
  [ -L "$copy" ] && wrong "it is a symbolic link at the destination"
  [ -f "$copy" ] || wrong "it is not at the destination any more"
  known "$3" || { echo none; exit; }
  sync "$copy" 2>/dev/null || sync
  found=$(sum "$3" <"$copy") || wrong "the copy cannot be read: $found"
  found=${found%%[!0-9a-f]*}
  if [ "$found" = "$4" ]; then said=$(finish "$1" "$2") || fail "$said"; fi
  echo "sum $found"
}
read_back() { if [ -e "$1" ]; then cat "$1"; else cat "$2"; fi; }
# What has the final name already may be the only copy of another file, for example of a run with the same number in a
# database that was lost: it is never overwritten, but gets another name, without .graw.
finish() {
  [ -e "$1" ] || { echo same; return; }
  [ -d "$2" ] && [ ! -L "$2" ] && { echo "a directory has its name at the destination"; return 1; }
  # A link to the same content, even to the file itself, is no copy.
  if [ ! -L "$2" ] && [ -f "$2" ] && cmp -s "$1" "$2"; then rm -f "$1"; echo same; return; fi
  if [ -e "$2" ] || [ -L "$2" ]; then
    number=1
    while [ -e "${2%.graw}.replaced-$number" ]; do number=$((number + 1)); done
    mv "$2" "${2%.graw}.replaced-$number" || return 1
  fi
  mv -f "$1" "$2" && echo same
}

# The arguments of is_mounted; then $1 is the algorithm, empty for none, and paths come.
look() {
  is_mounted "$@"
  algorithm=$5 marker=$1/.attpc-archive directory=$1; shift 5
  seen=$marker
  for path; do [ -e "$seen" ] || seen=$path; done
  [ -e "$seen" ] || not_mounted "its disk is not mounted at $directory (if it is another disk: touch $marker)"
  number=0
  for path; do
    if [ -L "$path" ] || [ ! -f "$path" ]; then echo "$number missing"
    else
      digits=
      if [ -n "$algorithm" ] && known "$algorithm"; then digits=$(sum "$algorithm" <"$path"); fi
      echo "$number $(facts "$path") $(uname -n) ${digits%%[!0-9a-f]*}"
    fi
    number=$((number + 1))
  done
  echo end
}

# The arguments of is_mounted; then comes the directory to list. Names are told as digits: they may be anything.
list() {
  is_mounted "$@"
  for path in "$5"/* "$5"/.*; do
    name=${path##*/}
    [ "$name" = . ] || [ "$name" = .. ] && continue
    [ -e "$path" ] || [ -L "$path" ] || continue
    echo "name $(printf %s "$name" | od -An -tx1 -v | tr -d ' \n')"
  done
  echo end
}

main() { action=$1; shift; { $action "$@"; } 2>&1; }
