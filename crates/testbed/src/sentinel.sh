directory=$1 bridge=$2
trap : HUP INT TERM
cat >/dev/null
# The engine is ended by its own guard; its pid file goes with it.
tenths=600
while [ -e "$directory/pid" ] && kill -0 "$(cat "$directory/pid")" 2>/dev/null && [ "$tenths" -gt 0 ]; do
    sleep 0.1
    tenths=$((tenths - 1))
done
# An engine that was killed leaves its mounts.
while read -r _ target _; do
    case $target in "$directory"/*) echo "$target" ;; esac
done </proc/mounts | sort -r | while read -r target; do
    umount "$target"
done
ip link delete "$bridge"
rm -rf "$directory"
