# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What bash offers after forkfold.  It knows no other functions, those of bash-completion included.

# Of the words in $2, those that start with $1.
_forkfold_choose() {
    mapfile -t COMPREPLY < <(compgen -W "$2" -- "$1")
}

# Files and folders that start with $1.  Outside of a completion there are no options to set.
_forkfold_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# The values of option $1 that start with $2; fails if the option takes none.
_forkfold_value() {
    case $1 in
    --rule) _forkfold_choose "$2" 'letters plain' ;;
    --invalid) _forkfold_choose "$2" 'fail replace' ;;
    --format) _forkfold_choose "$2" 'tsv csv json ndjson' ;;
    --on-error) _forkfold_choose "$2" 'skip stop' ;;
    --cpu) _forkfold_choose "$2" 'auto avx512 avx2 generic' ;;
    --progress) _forkfold_choose "$2" 'auto always never' ;;
    --stats) _forkfold_choose "$2" 'text json' ;;
    --files-from | --output | -o | --failures) _forkfold_files "$2" ;;
    --workers | -j | --glob | --top | --min-count | --timeout | --deadline | --retries | \
        --max-deaths | --split | --memory) ;;
    *) return 1 ;;
    esac
}

_forkfold_options() {
    _forkfold_choose "$1" '-j --workers --rule --invalid --glob -r --recursive --files-from
        -0 --null -o --output --format --top --min-count --failures --timeout --deadline --retries
        --max-deaths --on-error --split --memory --cpu --progress --stats -q --quiet -v --verbose
        -h --help -V --version'
}

# After "forkfold words": $1 is being typed, $2 stands before it; $3 is the '=' between them, if any.
_forkfold_words() {
    local word

    for word in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
        if [[ $word == -- ]]; then
            _forkfold_files "$1"
            return
        fi
    done
    if [[ $1 == --*=* ]]; then # where '=' does not part words
        _forkfold_value "${1%%=*}" "${1#*=}" && COMPREPLY=("${COMPREPLY[@]/#/${1%%=*}=}")
    elif [[ $2 != --stats || -n $3 ]] && _forkfold_value "$2" "$1"; then
        : # the value of --stats may be left out, so that it takes no word of its own
    elif [[ $1 == -* ]]; then
        _forkfold_options "$1"
    else
        _forkfold_files "$1"
    fi
}

_forkfold() {
    local current=${COMP_WORDS[COMP_CWORD]}
    local before=$((COMP_CWORD - 1))
    local equals=''

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _forkfold_choose "$current" 'words help -h --help -V --version'
        return
    fi
    # Bash makes the '=' before a value a word of its own.
    if [[ $current == '=' ]]; then
        current=''
        equals='='
    elif [[ ${COMP_WORDS[before]} == '=' ]]; then
        before=$((before - 1))
        equals='='
    fi
    case ${COMP_WORDS[1]} in
    words) _forkfold_words "$current" "${COMP_WORDS[before]}" "$equals" ;;
    help) ((COMP_CWORD > 2)) || _forkfold_choose "$current" 'words help' ;;
    esac
}

complete -F _forkfold forkfold
