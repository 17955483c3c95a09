"""The completion scripts of the shells. Each calls the hidden `innkeeper __complete` for a list of words.

They call the program by the name that was typed, so `.venv/bin/innkeeper` completes too.
"""

from __future__ import annotations

from collections.abc import Mapping

_BASH = r"""# Completion of innkeeper for bash. Add to ~/.bashrc:  source <(innkeeper completion bash)
_innkeeper() {
    local line=${COMP_LINE:0:COMP_POINT} program=${COMP_WORDS[0]} typed prefix= head break word
    type "$program" >/dev/null 2>&1 || program=innkeeper
    typed=${line##*[[:space:]]}
    # Bash replaces only what follows the last break character.
    for break in = :; do
        if [[ $COMP_WORDBREAKS == *"$break"* && $typed == *"$break"* ]]; then
            head=${typed%"${typed##*"$break"}"}
            (( ${#head} > ${#prefix} )) && prefix=$head
        fi
    done
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        [[ -n $word ]] && COMPREPLY+=("${word#"$prefix"}")
    done < <("$program" __complete line "$line" 2>/dev/null </dev/null)
    # A field continues with its value, a folder with its content.
    if [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o nosort -F _innkeeper innkeeper 2>/dev/null || complete -F _innkeeper innkeeper
"""

_ZSH = r"""#compdef innkeeper
# Completion of innkeeper for zsh. Add to ~/.zshrc:  source <(innkeeper completion zsh)
_innkeeper() {
    local program=${(Q)words[1]} line word
    local -a whole whole_shown open open_shown
    (( $+commands[$program] )) || [[ -x $program ]] || program=innkeeper
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        [[ $line == *$'\t'?* ]] && line="$word  -- ${line#*$'\t'}" || line=$word
        if [[ $word == *[=/] ]]; then
            open+=("$word") open_shown+=("$line")
        elif [[ -n $word ]]; then
            whole+=("$word") whole_shown+=("$line")
        fi
    done < <("$program" __complete words "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)
    (( $#whole )) && compadd -l -d whole_shown -a whole
    (( $#open )) && compadd -l -S '' -d open_shown -a open
}
if [[ $funcstack[1] == _innkeeper ]]; then
    _innkeeper "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _innkeeper innkeeper
fi
"""

_FISH = r"""# Completion of innkeeper for fish. Write to ~/.config/fish/completions/innkeeper.fish
function __innkeeper_complete
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l program $typed[1]
    type -q $program; or set program innkeeper
    $program __complete words $typed[2..-1] "$current" 2>/dev/null </dev/null
end
complete -c innkeeper -e
complete -c innkeeper -f -a '(__innkeeper_complete)'
"""

SCRIPTS: Mapping[str, str] = {"bash": _BASH, "fish": _FISH, "zsh": _ZSH}
