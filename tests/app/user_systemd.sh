# Runs the script $1 below a user's systemd of its own, in a mount namespace: "unshare -m sh user_systemd.sh SCRIPT".
set -e
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
group=/sys/fs/cgroup/attpc-test-$$
mkdir "$group"
echo $$ >"$group/cgroup.procs"
mkdir -p /run/user /run/systemd
mount -t tmpfs tmpfs /run/user
mount -t tmpfs tmpfs /run/systemd
mkdir /run/systemd/system
XDG_RUNTIME_DIR=/run/user/$(id -u)
export XDG_RUNTIME_DIR
mkdir -m 700 "$XDG_RUNTIME_DIR"
for systemd in /usr/lib/systemd/systemd /lib/systemd/systemd; do [ -x "$systemd" ] && break; done
"$systemd" --user &
manager=$!
tenths=0
until systemctl --user list-units >/dev/null 2>&1; do
  sleep 0.1
  tenths=$((tenths + 1))
  [ "$tenths" -lt 100 ] || { kill "$manager"; exit 77; }
done
code=0
sh "$1" || code=$?
systemctl --user stop 'attpc-*' || true
kill "$manager"
wait "$manager" || true
echo $$ >/sys/fs/cgroup/cgroup.procs
find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
exit "$code"
