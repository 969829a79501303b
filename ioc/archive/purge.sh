# Looks at filed files on their host, and removes them (Linux or macOS); fed to "sh -s" by purge.py.
#
# The facts of a file are its size, its time of modification, and what identifies it on this machine.

facts() { stat -c '%s %Y %d:%i' "$1" 2>/dev/null || stat -f '%z %m %d:%i' "$1"; }
consider() {
  if [ -L "$1" ]; then echo link
  elif [ -f "$1" ]; then echo "file $(facts "$1") $(uname -n)"
  elif [ -e "$1" ]; then echo other
  # Only a directory that can be searched tells that a file is gone.
  elif [ -d "${1%/*}" ] && [ -x "${1%/*}" ]; then echo gone
  else echo unseen
  fi
}

# Paths follow.
look() {
  number=0
  for path; do
    echo "$number $(consider "$path")"
    number=$((number + 1))
  done
}

# Pairs follow: a path, and what `look` said of it, which must still be so.
remove() {
  number=0
  while [ $# -gt 0 ]; do
    now=$(consider "$1")
    if [ "$now" != "$2" ]; then echo "$number kept $now"
    elif said=$(rm -f "$1" 2>&1) && [ ! -e "$1" ]; then echo "$number removed"
    else echo "$number kept $said"
    fi
    shift 2
    number=$((number + 1))
  done
}

main() { action=$1; shift; $action "$@"; echo end; }
