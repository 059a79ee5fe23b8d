# The gate: the process that a container of Worker's begins with, and that
# stays beside the script. It takes lines of commands on its stdin, and reports
# on its stderr, each line behind a word that only Worker and it know. Its
# stdout is the script's. For any POSIX shell, with `head`, `wc`, `mkdir`.
#
# The end of its input is never the go: a worker that dies closes it too.
trap : HUP INT QUIT ABRT USR1 USR2 ALRM TERM
umask 022
files=/.worker
read -r command word id place shell hosts || exit 113
[ "$command" = hello ] || exit 113
report() {
    printf '%s %s\n' "$word" "$*" >&2
}
if [ "$place" = new ]; then
    place=given
    for base in "${PWD%/}" /tmp /var/tmp; do
        if mkdir "$base/worker-$id" 2>/dev/null && cd "$base/worker-$id"; then
            place=new
            break
        fi
    done
else
    place=new
fi
# By its whole path: the script's own PATH does not matter then. (The shell of
# busybox knows it without one.)
setsid=none
for program in /usr/bin/setsid /bin/setsid; do
    [ ! -x "$program" ] || setsid=$program
done
# Who makes the network of a container also names its own machine in it. Where
# that was nobody, this does.
names=named
if [ "$hosts" = missing ]; then
    names=nameless
    while read -r line; do
        case $line in
        '#'*) ;;
        *localhost*) names=named ;;
        esac
    done </etc/hosts
    [ $names = named ] || {
        printf '\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' >>/etc/hosts &&
            names=named
    }
fi 2>/dev/null
report hello $$ "$setsid" "$place" "$names" "$PWD"
# Does this shell say so when a child dies of a signal?
[ "$shell" = known ] || /bin/sh -c 'kill -KILL $$'
report ready

go=
while [ -z "$go" ] && read -r command size trial; do
    case $command in
    script | environment)
        # What was sent after the last byte would be read ahead: nothing is. In
        # place, since nothing runs before the go, and that comes only after
        # the whole was reported as stored.
        umask 077
        head -c "$size" >"$files/$command"
        status=$?
        umask 022
        why=unstored
        if [ $status = 0 ] && [ "$(wc -c <"$files/$command")" -eq "$size" ]; then
            # A variable that this shell cannot take ends it: not this one.
            why=environment
            [ "$trial" = none ] || ( . "$files/environment" ) || status=$?
            # One that no process can be given is found by beginning one.
            if [ "$status$trial" = 0begin ]; then
                why=size
                ( . "$files/environment" && exec /bin/sh -c : ) || status=$?
            fi
            [ $status != 0 ] || why=
        elif ! echo more 2>/dev/null >"$files/more"; then
            # A place that is full does not take a line more, whatever the
            # tools have to say of that.
            why=full
        fi
        # Not every shell says so where its child is killed.
        [ $status != 137 ] || why=killed
        case $why in
        '')
            report stored "$command"
            ;;
        environment | size)
            report refused $why
            ;;
        *)
            report refused $why
            exit 113
            ;;
        esac
        ;;
    go)
        go=$size
        ;;
    *)
        exit 113
        ;;
    esac
done
[ -n "$go" ] || exit 113

report began
(
    # It sets what the script is to have, and `$@`: the program to run.
    . "$files/environment"
    exec </dev/null 2>&1
    exec "$@"
)
status=$?
# Whether anything was killed for lack of memory: version 2 of the control
# groups, and version 1. Not every engine says so.
for events in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ -r "$events" ] || continue
    while read -r key value; do
        [ "$key" = oom_kill ] && [ "$value" != 0 ] && report oom
    done <"$events"
done
report end "$status"
# Behind the last byte of the script's own output.
printf 'worker-end-%s' "$word"
case $go in
stay)
    # A kept container stays until it is removed.
    while :; do
        sleep 3600
    done
    ;;
linger)
    # Some engines drop what was written last when a container ends: it ends
    # once Worker has it all, or lets go, or says nothing for too long.
    trap 'exit "$status"' USR1
    { sleep 20; kill -USR1 $$; } &
    read -r command
    ;;
esac
exit "$status"
