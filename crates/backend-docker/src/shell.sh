# What becomes a shell in a container, beside the gate and its script. `$1` is
# the id of the instance, `$2` a word by which its first line is known, `$3` what
# it is on, `$4` the line that becomes the command, and the rest are the words of
# that.
worker_environment() {
    # It exports the variables, and sets what is `$@` in here only.
    [ ! -r /.worker/environment ] || . /.worker/environment
}
worker_environment
# Where the gate has made a directory for the script.
for worker_base in "${PWD%/}" /tmp /var/tmp; do
    if cd "$worker_base/worker-$1" 2>/dev/null; then
        break
    fi
done
printf '%s %s\n' "$2" $$ >&2
# Two pipes have no order: nothing may overtake this line on the other.
if [ "$3" = pipes ]; then
    read -r worker_line || exit 113
fi
worker_line=$4
shift 4
eval "unset -f worker_environment; unset worker_base worker_line; $worker_line"
