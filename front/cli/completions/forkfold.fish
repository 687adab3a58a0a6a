# SPDX-License-Identifier: Apache-2.0
# What fish offers after forkfold.

set --local words '__fish_seen_subcommand_from words'
set --local help '__fish_seen_subcommand_from help; and not __fish_seen_subcommand_from words'

complete -c forkfold -f
complete -c forkfold -n __fish_use_subcommand -a words -d 'Count the words in files'
complete -c forkfold -n __fish_use_subcommand -a help -d 'Show the help of a command'
complete -c forkfold -n $help -a 'words help'

complete -c forkfold -s h -l help -d 'Show a help and exit'
complete -c forkfold -s V -l version -d 'Show the versions and exit'

complete -c forkfold -n $words -F
complete -c forkfold -n $words -s j -l workers -x -d 'Worker processes'
complete -c forkfold -n $words -l rule -x -a 'letters plain' -d 'What a word is'
complete -c forkfold -n $words -l invalid -x -a 'fail replace' -d 'For files that are not UTF-8'
complete -c forkfold -n $words -l glob -x -d 'Names in directories'
complete -c forkfold -n $words -s r -l recursive -d 'Enter subdirectories'
complete -c forkfold -n $words -l files-from -r -F -d 'Count the files that a list names'
complete -c forkfold -n $words -s 0 -l null -d 'Names in the list end in NUL'
complete -c forkfold -n $words -s o -l output -r -F -d 'Write to a file'
complete -c forkfold -n $words -l format -x -a 'tsv csv json ndjson' -d 'How to write the words'
complete -c forkfold -n $words -l top -x -d 'Only the most frequent words'
complete -c forkfold -n $words -l min-count -x -d 'Only words that occur so often'
complete -c forkfold -n $words -l failures -r -F -d 'List the failed inputs in a file'
complete -c forkfold -n $words -l timeout -x -d 'Longest time for one file'
complete -c forkfold -n $words -l deadline -x -d 'Longest time for everything'
complete -c forkfold -n $words -l retries -x -d 'New tries after a worker died'
complete -c forkfold -n $words -l max-deaths -x -d 'Deaths in a row that end it'
complete -c forkfold -n $words -l on-error -x -a 'skip stop' -d 'What to do after a failed input'
complete -c forkfold -n $words -l split -x -d 'Pieces of big files'
complete -c forkfold -n $words -l memory -x -d 'What counts may take'
complete -c forkfold -n $words -l cpu -x -a 'auto avx512 avx2 generic' -d 'Whose instructions to use'
complete -c forkfold -n $words -l progress -x -a 'auto always never' -d 'Show progress'
complete -c forkfold -n $words -l stats -f -a 'text json' -d 'Tell how the work went'
complete -c forkfold -n $words -s q -l quiet -d 'No summary and no warnings'
complete -c forkfold -n $words -s v -l verbose -d 'Tell more'
