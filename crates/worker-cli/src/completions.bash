# Completions of `worker` for bash: source this, or save it as
# ~/.local/share/bash-completion/completions/worker.
#
# The program itself is asked. Bash takes KEY=VALUE for three words: what no
# blank keeps apart is put together before, and only what stands behind the last
# `=` is answered.
_worker_complete() {
    local words=() index=-1 rest=$COMP_LINE word gap current
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        gap=${rest%%[![:space:]]*}
        rest=${rest#"$gap"}
        rest=${rest#"$word"}
        if [[ $index -ge 0 && -z $gap ]]; then
            words[index]+=$word
        else
            words[++index]=$word
        fi
    done
    current=${words[index]}
    local IFS=$'\v'
    COMPREPLY=($(
        _CLAP_IFS=$IFS _CLAP_COMPLETE_INDEX=$index WORKER_COMPLETE=bash \
            "${COMP_WORDS[0]/#\~/$HOME}" -- "${words[@]}" 2>/dev/null
    ))
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    if [[ $current == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%=*}="}")
    fi
}
complete -o bashdefault -F _worker_complete worker
