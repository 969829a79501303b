# What happens at a destination (Linux or macOS), which is a directory of the router's host or reached from there by ssh;
# fed to "sh -s" there.

PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/opt/homebrew/bin LC_ALL=C
export PATH LC_ALL

quietly='nice -n 19'
ionice -c 3 true 2>/dev/null && quietly="ionice -c 3 $quietly"
known() {
  case $1 in
    xxh128) command -v xxhsum ;;
    sha256) command -v sha256sum || command -v shasum ;;
    *) false ;;
  esac >/dev/null
}
sum() {
  case $1 in
    xxh128) $quietly xxhsum -H2 ;;
    sha256) if command -v sha256sum >/dev/null; then $quietly sha256sum; else $quietly shasum -a 256; fi ;;
  esac
}
facts() { stat -c '%s %d:%i' "$1" 2>/dev/null || stat -f '%z %d:%i' "$1"; }
fail() { echo "$1"; exit 1; }
wrong() { echo "$1"; exit 70; }

# A disk that is not mounted must not be taken for one on which nothing is yet.
is_mounted() { [ -d "$1" ] || fail "there is no directory $1 at the destination: make it, or mount its disk"; }

# $1 is the directory of the destination, $2 that of the copy.
prepare() { is_mounted "$1"; mkdir -p "$2" && echo ready; }

# $1 is the temporary name, $2 the final name, $3 the algorithm, $4 the digits. A copy gets its final name only when it
# is known to be right; after a kill in between, it has it already.
check() {
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
  [ -d "$2" ] && { echo "a directory has its name at the destination"; return 1; }
  if [ -f "$2" ] && cmp -s "$1" "$2"; then rm -f "$1"; echo same; return; fi
  if [ -e "$2" ] || [ -L "$2" ]; then
    number=1
    while [ -e "${2%.graw}.replaced-$number" ]; do number=$((number + 1)); done
    mv "$2" "${2%.graw}.replaced-$number" || return 1
  fi
  mv -f "$1" "$2" && echo same
}

# $1 is the directory of the destination, $2 the algorithm, empty for none; then come paths.
look() {
  is_mounted "$1"
  algorithm=$2; shift 2
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

# $1 is the directory of the destination, $2 the one to list. Names are told as digits, because they may be anything.
list() {
  is_mounted "$1"
  for path in "$2"/* "$2"/.*; do
    name=${path##*/}
    [ "$name" = . ] || [ "$name" = .. ] && continue
    [ -e "$path" ] || [ -L "$path" ] || continue
    echo "name $(printf %s "$name" | od -An -tx1 -v | tr -d ' \n')"
  done
  echo end
}

main() { action=$1; shift; { $action "$@"; } 2>&1; }
