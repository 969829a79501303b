#!/usr/bin/env bash
# Shows the screens of opi/ in the display runtime of Phoebus and looks for anything amiss. Installs nothing.
#   tests/phoebus/run.sh [FOLDER FOR PICTURES]
# Exit code: 0 nothing amiss, 1 something is, 77 it could not be tried here (the reason is on stderr).
set -euo pipefail
cd "$(dirname "$0")/../.."
pictures=${1:-tests/phoebus/target/pictures}
python=${PYTHON:-.venv/bin/python}

for tool in javac mvn xvfb-run; do
  command -v "$tool" >/dev/null || {
    echo "phoebus: $tool is missing; on Debian: apt install openjdk-17-jdk-headless maven xvfb xauth" \
      "libgtk-3-0 libgl1 libxtst6 libxxf86vm1 fonts-liberation" >&2
    exit 77
  }
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! mvn -q -B -f tests/phoebus/pom.xml compile dependency:copy-dependencies >"$log" 2>&1; then
  grep -m 1 ERROR "$log" >&2 || true
  if grep -q "could not be resolved: org.phoebus" "$log"; then
    echo "phoebus: the Maven repository that this machine reaches does not have Phoebus 5.0.5" >&2
    exit 77
  fi
  exit 1
fi
PYTHONPATH=. xvfb-run --auto-servernum --server-args="-screen 0 1920x1080x24" \
  "$python" tests/phoebus/check_screens.py "$pictures"
