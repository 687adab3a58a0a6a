#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# texts.sh WAY FOLDER WORKERS: what people type to count the words of a folder's *.txt files.
#   sort      tr, sort, uniq: runs of ASCII letters, in lower case
#   mawk      what stands between white space, ASCII letters in lower case
#   parallel  the same in WORKERS processes by GNU parallel, and one that adds up
#   wc        the number of words, and nothing more
set -euo pipefail
export LC_ALL=C

way=$1 folder=$2 workers=$3

files() {
    find -L "$folder" -maxdepth 1 -type f -name '*.txt' ! -name '.*' -print0
}

# shellcheck disable=SC2016 # the variables are mawk's
count='{ $0 = tolower($0); for (i = 1; i <= NF; i++) count[$i]++ }
       END { for (word in count) print count[word] "\t" word }'
# shellcheck disable=SC2016
add='{ count[$2] += $1 } END { for (word in count) print count[word] "\t" word }'

case $way in
sort)
    files | xargs -0 cat | tr -cs A-Za-z '\n' | tr '[:upper:]' '[:lower:]' |
        sort --parallel="$workers" -S 25% | uniq -c | sort -rn
    ;;
mawk)
    mapfile -d '' -t names < <(files)
    if [ ${#names[@]} -eq 1 ]; then
        mawk "$count" "${names[0]}" | sort -rn
    else
        printf '%s\0' "${names[@]}" | xargs -0 cat | mawk "$count" | sort -rn
    fi
    ;;
parallel)
    # -m gives each process its share of all names at once.
    files | parallel --will-cite -0 -m -j "$workers" mawk "'$count'" |
        mawk -F '\t' "$add" | sort -rn
    ;;
wc) files | wc -w --files0-from=- ;;
*)
    echo "usage: texts.sh sort|mawk|parallel|wc FOLDER WORKERS" >&2
    exit 2
    ;;
esac
