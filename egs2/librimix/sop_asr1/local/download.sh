#!/usr/bin/env bash
# download.sh librispeech|wham|metadata FOLDER
#
# Downloads what local/data.sh was given no folder for. A download that was interrupted goes on where it was; an
# archive is checked before it is unpacked, and a part that is there already costs nothing.
#
#   librispeech   dev-clean, test-clean, train-clean-100, train-clean-360 (30 GB to download) as FOLDER/LibriSpeech
#   wham          the WHAM noises (18 GB to download, 35 GB unpacked) as FOLDER/wham_noise
#   metadata      the CSVs of LibriMix, with ESPnet's start offsets for two talkers, as FOLDER/metadata
set -euo pipefail

librispeech_url=${LIBRISPEECH_URL:-https://www.openslr.org/resources/12}
wham_url=${WHAM_URL:-https://my-bucket-a8b4b49c25c811ee9a7e8bba05fa24c7.s3.amazonaws.com}
librimix_url=${LIBRIMIX_URL:-https://raw.githubusercontent.com/JorisCos/LibriMix/master/metadata}
espnet_url=${ESPNET_URL:-https://raw.githubusercontent.com/espnet/espnet/master/egs2/librimix/sot_asr1/local/metadta_Libri2Mix_offset}

fail() {
    printf 'download.sh: error: %s\n' "${*//[[:cntrl:]]/?}" >&2
    exit 1
}

make_folder() { mkdir -p "$1" 2>/dev/null || fail "$1 cannot be made"; }

fetch() { # fetch URL FILE [SHA256]: FILE appears only when it is whole
    local url="$1" file="$2" sha256="${3:-}" meter=--silent status=0
    [ -f "${file}" ] && return 0
    make_folder "$(dirname "${file}")"
    echo "downloading ${url}"
    [ ! -t 2 ] || meter=--progress-bar
    curl "${meter}" --fail --location --retry 5 --retry-delay 5 --continue-at - --output "${file}.part" "${url}" || status=$?
    [ "${status}" -eq 0 ] ||
        fail "${url} cannot be downloaded (curl says ${status}); the same command goes on with ${file}.part, or name a folder that you have"
    if [ -n "${sha256}" ] && ! echo "${sha256}  ${file}.part" | sha256sum --check --status; then
        mv "${file}.part" "${file}.bad"
        fail "${url}: wrong checksum; kept as ${file}.bad; run the same command to download it again"
    fi
    mv "${file}.part" "${file}"
}

unpack() { # unpack ARCHIVE FOLDER MARK: into FOLDER; MARK appears when all is there, then the archive goes
    local archive="$1" folder="$2" mark="$3"
    echo "unpacking ${archive}"
    case "${archive}" in
        *.zip) python3 -m zipfile -e "${archive}" "${folder}" 2>/dev/null || fail "${archive} is broken; remove it and run again" ;;
        *) tar -xzf "${archive}" -C "${folder}" 2>/dev/null || fail "${archive} is broken; remove it and run again" ;;
    esac
    touch "${mark}" 2>/dev/null || fail "${archive} has not the folder $(dirname "${mark}"); remove it and run again"
    rm "${archive}"
}

librispeech() { # sha256 of the archives as torchaudio publishes them
    local folder="$1" part sha256 mark
    while read -r part sha256; do
        mark="${folder}/LibriSpeech/.${part}.complete"
        [ -f "${mark}" ] && continue
        fetch "${librispeech_url}/${part}.tar.gz" "${folder}/${part}.tar.gz" "${sha256}"
        unpack "${folder}/${part}.tar.gz" "${folder}" "${mark}"
    done <<'PARTS'
dev-clean 76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3
test-clean 39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23
train-clean-100 d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2
train-clean-360 146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf
PARTS
}

wham() { # no checksum is published, but the archive has one for every file in it
    local folder="$1"
    [ -f "${folder}/wham_noise/.complete" ] && return 0
    fetch "${wham_url}/wham_noise.zip" "${folder}/wham_noise.zip"
    unpack "${folder}/wham_noise.zip" "${folder}" "${folder}/wham_noise/.complete"
}

metadata() {
    local folder="$1/metadata" part
    for part in dev-clean test-clean train-clean-100 train-clean-360; do
        fetch "${espnet_url}/libri2mix_${part}.csv" "${folder}/Libri2Mix/libri2mix_${part}.csv"
        fetch "${librimix_url}/Libri3Mix/libri3mix_${part}.csv" "${folder}/Libri3Mix/libri3mix_${part}.csv"
    done
}

case "${1:-}" in
    -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    librispeech | wham | metadata) ;;
    *) fail "download.sh librispeech|wham|metadata FOLDER" ;;
esac
[ $# -eq 2 ] || fail "download.sh librispeech|wham|metadata FOLDER"
command -v curl >/dev/null || fail "the program curl is missing; install it"
[[ "$2" == [!-]* ]] || fail "'$2': the name of a folder must not begin with -"
make_folder "$2"
"$1" "$2"
