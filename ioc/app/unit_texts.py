"""The fixed parts of the files that `ioc.app.units` writes."""

SERVICE = """\
# {mark}
[Unit]
Description={description}
StartLimitIntervalSec=120
StartLimitBurst=10

[Service]
Type=exec
{lines}
Restart=always
RestartSec=2
TimeoutStopSec=10

[Install]
WantedBy=default.target
"""

ROTATE_SERVICE = """\
# {mark}
[Unit]
Description=Rotate the log files of the AT-TPC programs

[Service]
Type=oneshot
ExecStart=/bin/sh %h/.config/systemd/user/{script}
"""

ROTATE_TIMER = """\
# {mark}
[Unit]
Description=Rotate the log files of the AT-TPC programs every night

[Timer]
OnCalendar=*-*-* 04:30:00
Persistent=true

[Install]
WantedBy=timers.target
"""

# The program keeps the file open and appends to it, so the file is emptied and not replaced.
ROTATE = """\
#!/bin/sh
# {mark}
# Keeps the last five of each log file that has more than 10 MB.
for log in {logs}; do
  [ -f "$log" ] || continue
  [ "$(wc -c <"$log")" -gt 10000000 ] || continue
  for number in 4 3 2 1; do
    [ ! -f "$log.$number" ] || mv -f "$log.$number" "$log.$((number + 1))"
  done
  cp -p "$log" "$log.1" && : >"$log"
done
"""

# What an earlier install.sh of this folder installed is known by its mark: other folders, and the user, have units
# there too. The scripts go by the files beside them: one in a folder without units removes all that it had installed.
INSTALL_SYSTEMD = """\
#!/bin/sh
# Installs these units for the user who runs it, on the machine that the folder is named after. Starts no program, but
# stops and removes what an earlier install.sh of this folder installed and the folder no longer has.
set -eu
cd "$(dirname "$0")"
units=$HOME/.config/systemd/user
mkdir -p "$units" {folders}
: "${{XDG_RUNTIME_DIR:=/run/user/$(id -u)}}"
export XDG_RUNTIME_DIR
for old in "$units"/attpc-*; do
  name=${{old##*/}}
  if [ -f "$old" ] && [ ! -f "$name" ] && grep -qF '{mark}' "$old"; then
    case $name in *.service | *.timer) systemctl --user disable --now "$name" ;; esac
    rm -f "$old"
    echo "removed: $name"
  fi
done
for file in attpc-*; do
  [ ! -f "$file" ] || cp "$file" "$units/"
done
systemctl --user daemon-reload
for file in attpc-*.service attpc-*.timer; do
  if [ -f "$file" ] && grep -q '^.Install.' "$file"; then systemctl --user enable "$file"; fi
done
for file in attpc-*.timer; do
  [ ! -f "$file" ] || systemctl --user start "$file"
done
echo "Once, as root, to start them at boot and keep them running after a logout: loginctl enable-linger $(id -un)"
"""

INSTALL_LAUNCHD = """\
#!/bin/sh
# Installs these agents for the user who runs it, on the machine that the folder is named after. They start when that
# user logs in, or with attpc-ioc up. Ends and removes what an earlier install.sh of this folder installed and the
# folder no longer has.
set -eu
cd "$(dirname "$0")"
agents=$HOME/Library/LaunchAgents
domain=gui/$(id -u)
mkdir -p "$agents" {folders}
for old in "$agents"/attpc-*; do
  name=${{old##*/}}
  if [ -f "$old" ] && [ ! -f "$name" ] && grep -qF '{mark}' "$old"; then
    case $name in *.plist) launchctl bootout "$domain/${{name%.plist}}" 2>/dev/null || true ;; esac
    rm -f "$old"
    echo "removed: $name"
  fi
done
for file in attpc-*; do
  [ ! -f "$file" ] || cp "$file" "$agents/"
done
for file in attpc-logs-*.plist; do
  if [ -f "$file" ]; then
    launchctl bootout "$domain/${{file%.plist}}" 2>/dev/null || true
    launchctl bootstrap "$domain" "$agents/$file"
  fi
done
"""

# launchd cannot tell exit codes apart: an error in the configuration ends as a success, which is not repeated.
WATCHED = """\
{{ {command} & pid=$!; trap 'kill -TERM "$pid"' TERM INT HUP; wait "$pid"; code=$?
while kill -0 "$pid" 2>/dev/null; do wait "$pid"; code=$?; done
[ "$code" -eq {code} ] && exit 0; exit "$code"; }}"""
