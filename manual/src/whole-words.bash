
# bash splits words at = and :, as in --network=web and fd00::2. They are joined for the
# program; what bash has already taken as a word of its own is left out of the answers.
_whole_words_NAME() {
    local words=() current=0 i last
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        last=$((${#words[@]} - 1))
        if ((i > 1)) && [[ ${COMP_WORDS[i]} == [=:]* || ${words[last]} == *[=:] ]]; then
            words[last]+=${COMP_WORDS[i]}
        else
            words+=("${COMP_WORDS[i]}")
        fi
        if ((i == COMP_CWORD)); then current=$((${#words[@]} - 1)); fi
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$current
    _clap_complete_NAME "$1" "${words[current]}" "${3-}"
    local taken=${words[current]%"${words[current]##*[=:]}"}
    COMPREPLY=("${COMPREPLY[@]#"$taken"}")
}
complete -o nospace -o bashdefault -o nosort -F _whole_words_NAME PROGRAM
