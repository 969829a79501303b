# Computes the checksums of files (Linux or macOS); fed to "sh -s" by checksums.py.
#
# $1 is the algorithm, empty for the best one; then come pairs: a path, and the size that it must have (empty: any).
# A program is used only if it knows the checksum of "abc". It reads its standard input, so it never sees a name, and
# none is escaped. It has the lowest priority for processor and disk.
#
# The input of this shell stays open as long as somebody waits for the answer. When it ends (a run starts, the IOC dies,
# the connection is lost), everything here is killed at once: there is nothing to tidy up.

exec 3<&0
PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/opt/homebrew/bin LC_ALL=C
export PATH LC_ALL

sum() {
  case $program in
    xxhsum) exec $quietly xxhsum -H2 ;;
    sha256sum) exec $quietly sha256sum ;;
    shasum) exec $quietly shasum -a 256 ;;
  esac
}
works() {
  command -v "$program" >/dev/null || return
  said=$(printf abc | sum)
  [ "${said%%[!0-9a-f]*}" = "$1" ]
}
choose() {
  quietly='nice -n 19'
  ionice -c 3 true && quietly="ionice -c 3 $quietly"
  algorithm=xxh128
  case $1 in
    '' | xxh128) program=xxhsum; works 06b05ab6733a618578af5f94892f3950 && return ;;
  esac
  algorithm=sha256
  case $1 in
    '' | sha256)
      for program in sha256sum shasum; do
        works ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad && return
      done ;;
  esac
  return 1
}

# Of a path that does not exist as far as we can see: whether a directory above it forbids to look.
hidden() {
  above=${1%/*}
  while [ -n "$above" ] && [ ! -d "$above" ]; do above=${above%/*}; done
  [ ! -x "${above:-/}" ]
}
inode_and_size() { set -f; set -- $(ls -lind "$1"); echo "$1 $6"; }

consider() {
  if [ -L "$1" ]; then echo other; return; fi
  if [ ! -e "$1" ]; then if hidden "$1"; then echo unreadable; else echo missing; fi; return; fi
  [ -f "$1" ] || { echo other; return; }
  [ -r "$1" ] || { echo unreadable; return; }
  before=$(inode_and_size "$1")
  echo "size ${before#* }"
  [ -z "$2" ] || [ "$2" = "${before#* }" ] || return
  compute 4<"$1"
  status=$?
  # Above 128 it was killed.
  if [ "$status" -gt 128 ]; then echo killed; elif [ "$status" -gt 0 ]; then echo unreadable; fi
  [ "$(inode_and_size "$1")" = "$before" ] || echo changed
}
# Compute the checksum of descriptor 4. Not every program tells that it could not read all (shasum): what is left after
# it must be the end of the file.
compute() {
  sum <&4 3<&- 4<&- &
  job=$!
  (read -r nothing <&3; kill -KILL "$job" $$) >/dev/null 4<&- &
  reader=$!
  wait "$job" && [ "$({ dd bs=1 count=1 <&4 && echo; } | wc -c)" -eq 1 ]
  status=$?
  kill -KILL "$reader"
  wait "$reader"
  return "$status"
}

main() {
  choose "$1" || { echo @none; exit; }
  echo "@algorithm $algorithm"
  shift
  number=0
  while [ $# -gt 0 ]; do
    echo "@file $number"
    consider "$1" "$2"
    shift 2
    number=$((number + 1))
  done
  echo @end
  exit
}
