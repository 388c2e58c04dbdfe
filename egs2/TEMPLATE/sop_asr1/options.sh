# shellcheck shell=bash
# To be sourced by local/data.sh and sop.sh with their arguments: sets the variables of the script's block
# "### options" from `--name value` and checks them. Whatever is wrong ends the script with one line.

set -f # no value is a pattern of file names

fail() {
    printf '%s: error: %s\n' "${script:-local/data.sh}" "${*//[[:cntrl:]]/?}" >&2
    exit 1
}
own="${BASH_SOURCE[1]}"
declare -F help >/dev/null || help() { sed -n '2,/^### end/{/^###/d;/^set /d;s/^# //;p}' "${own}"; }

known=" $(sed -n '/^### options/,/^### end/{s/^\([a-z_]*\)=.*/\1/p}' "${own}" | tr '\n' ' ')"
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) help; exit 0 ;;
        --*=*) name="${1%%=*}" value="${1#*=}" ;;
        --*) [ $# -gt 1 ] || fail "$1 needs a value"; name="$1" value="$2"; shift ;;
        *) fail "'$1' is no option; there are:${known% }" ;;
    esac
    name="${name#--}"
    [[ "${name}" =~ ^[a-z_]+$ && "${known}" == *" ${name} "* ]] || fail "no option --${name}; there are:${known% }"
    printf -v "${name}" '%s' "${value}"
    shift
done

need_match() { # need_match OPTION PATTERN WHAT: the value as a whole
    [[ "${!1}" =~ ^($2)$ ]] || fail "--$1 '${!1}': must be $3"
}
need_words() { # need_words OPTION PATTERN WHAT: a list, whose words may be separated by commas
    local word
    printf -v "$1" '%s' "${!1//,/ }"
    [[ "${!1}" == *[!\ ]* ]] || fail "--$1 is empty: must be $3"
    for word in ${!1}; do
        [[ "${word}" =~ ^($2)$ ]] || fail "--$1 '${word}': must be $3"
    done
}
need_number() { # need_number OPTION: from 1 on
    need_match "$1" '[1-9][0-9]{0,8}' "a whole number from 1"
}
need_folder() { # need_folder FOLDER OPTION: a folder that an option names, or one in it
    [ -d "$1" ] || fail "--$2 '${!2}': no folder $1"
}
need_match datadir '[^-].*' "a folder whose name does not begin with -"
