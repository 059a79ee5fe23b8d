# Where the program begins: as a helper with arguments, or at the other end of
# a connection, with its parameters in lines.

case ${1-} in
  switch)
    shift
    w_switch "$@"
    ;;
  supervise)
    shift
    w_supervise "$@"
    ;;
  enter)
    shift
    w_enter "$@"
    ;;
  *)
    IFS= read -r w_mode
    IFS= read -r w_nonce
    IFS= read -r w_base
    # What start-up files have printed before this line is not ours.
    printf '\n%s\n' "$w_nonce"
    printf '\n%s\n' "$w_nonce" >&2
    "w_mode_$w_mode"
    ;;
esac
