# Completion of lathe's command line for bash. `cmake --install` puts it where
# bash-completion finds it; or: source clients/cli/lathe.bash
_lathe() {
    local words
    words=$("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null) || return
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _lathe lathe
