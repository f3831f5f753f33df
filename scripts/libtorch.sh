#!/bin/sh
# Puts a libtorch at .libtorch/torch, where .cargo/config.toml looks for it, and the workspace that
# builds with it at .libtorch/workspace.
#
# LIBTORCH or LIBTORCH_USE_PYTORCH, if set, name one that is there already: it is linked to.
# Otherwise the pinned wheels are installed that the tch in Cargo.lock is made for, or the tch that
# TCH names: those that the CPU needs, or with CUDA=1, or when an NVIDIA driver is found and CUDA is
# not 0, those for CUDA as well.
#
# A libtorch fits one tch only. Where it is not the one in Cargo.lock, the workspace is a folder of
# links to this one with a lock file of its own, so that the committed one stays as it is.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "error: $*" >&2
    exit 1
}

# What is missing here would otherwise fail minutes later, in a compiler's words.
command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.89 or later, see rustup.rs"
"${CXX:-c++}" --version >/dev/null 2>&1 ||
    fail "no C++ compiler found (${CXX:-c++}): install one, on Debian or Ubuntu: apt-get install g++"

# The column $3 of the row of scripts/tch.txt whose column $1 is $2: tch, libtorch, checksums.
lookup() {
    awk -v column="$1" -v value="$2" -v wanted="$3" \
        '!/^#/ && $column == value { print $wanted; found = 1 } END { exit !found }' scripts/tch.txt
}

works=$(awk '!/^#/ { printf "%s%s (tch %s)", comma, $2, $1; comma = ", " }' scripts/tch.txt)

# The version of the libtorch in folder $1.
version_of() {
    header=$1/include/torch/headeronly/version.h
    [ -f "$header" ] ||
        fail "$1 does not hold a libtorch that works here: it has no include/torch/headeronly/version.h; these work: $works"
    sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' "$header" | paste -sd .
}

# Makes .libtorch/workspace one that builds with tch $1.
workspace() {
    if [ "$1" = "$locked" ]; then
        [ -L .libtorch/workspace ] || rm -rf .libtorch/workspace
        ln -sfn .. .libtorch/workspace
        return
    fi
    [ ! -L .libtorch/workspace ] || rm .libtorch/workspace
    mkdir -p .libtorch/workspace/.cargo .libtorch/workspace/fuzz
    printf '[build]\ntarget-dir = "../../target"\n' >.libtorch/workspace/.cargo/config.toml
    for path in * fuzz/*; do
        case $path in
        fuzz | target | fuzz/target) ;;
        Cargo.lock | fuzz/Cargo.lock)
            awk -v version="$1" -v tch="$(lookup 1 "$1" 3)" -v sys="$(lookup 1 "$1" 4)" '
                $1 == "name" { checksum = $3 == "\"tch\"" ? tch : $3 == "\"torch-sys\"" ? sys : "" }
                checksum && $1 == "version" { $3 = "\"" version "\"" }
                checksum && $1 == "checksum" { $3 = "\"" checksum "\"" }
                { print }' "$path" >".libtorch/workspace/$path"
            ;;
        fuzz/*) ln -sfn "../../../$path" ".libtorch/workspace/$path" ;;
        *) ln -sfn "../../$path" ".libtorch/workspace/$path" ;;
        esac
    done
    echo "tch $1, not Cargo.lock's $locked: run cargo in .libtorch/workspace"
}

# The last words of each way to a libtorch: $1 its version, $2 what and where it is.
ready() {
    workspace "$(lookup 2 "$1" 1 || echo "$tch")"
    echo "libtorch $1$2"
}

locked=$(sed -n '/^name = "tch"$/{n;s/^version = "\(.*\)"$/\1/p;}' Cargo.lock)
# What was chosen by hand holds until another is.
by_hand=${TCH:-$(cat .libtorch/tch 2>/dev/null || true)}
tch=${by_hand:-$locked}
case $tch in *.*.*) ;; *) tch=$tch.0 ;; esac
version=$(lookup 1 "$tch" 2) || fail "there is no libtorch for tch $tch here; these work: $works"

given=
if [ -n "${LIBTORCH_USE_PYTORCH:-}" ]; then
    given=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))' 2>/dev/null) ||
        fail "LIBTORCH_USE_PYTORCH is set, but python3 has no torch: install torch==$version or unset it"
elif [ -n "${LIBTORCH:-}" ]; then
    given=$(cd "$LIBTORCH" 2>/dev/null && pwd -P) ||
        fail "LIBTORCH is set to $LIBTORCH, which is not a folder: correct it or unset it"
fi
if [ -n "$given" ]; then
    found=$(version_of "$given")
    lookup 2 "$found" 1 >/dev/null || [ -n "${LIBTORCH_BYPASS_VERSION_CHECK:-}" ] ||
        fail "$given is libtorch $found; these work: $works; install one, or unset LIBTORCH and" \
            "LIBTORCH_USE_PYTORCH to have it installed here"
    [ -z "${TCH:-}" ] || [ "$found" = "$version" ] ||
        fail "$given is libtorch $found, but tch $tch needs $version: omit TCH or LIBTORCH"
    here=$(pwd -P)/.libtorch/torch
    if [ "$given" != "$here" ] && [ "$given" != "$(cd "$here" 2>/dev/null && pwd -P)" ] && [ "$(readlink "$here" || true)" != "$given" ]; then
        # Plain cargo commands then find it without the variable, too.
        rm -rf .libtorch
        mkdir .libtorch
        ln -s "$given" "$here"
    fi
    ready "$found" ": $given"
    exit 0
fi

if [ -L .libtorch/torch ] && [ -e .libtorch/torch/ ] && [ -z "${CUDA:-}" ]; then
    found=$(version_of .libtorch/torch)
    if [ "$found" = "$version" ] || { [ -z "$by_hand" ] && lookup 2 "$found" 1 >/dev/null; }; then
        ready "$found" ": $(readlink .libtorch/torch)"
        exit 0
    fi
fi

case $(uname -s)-$(uname -m) in
Linux-x86_64)
    platforms="manylinux_2_28 manylinux_2_27 manylinux_2_25 manylinux_2_18 manylinux_2_17
        manylinux2014 manylinux2010 manylinux1"
    ;;
*) fail "there are no pinned wheels for $(uname -sm): install libtorch $version yourself and set LIBTORCH" ;;
esac

set=cpu
space=3
if [ -z "${CUDA:-}" ]; then
    CUDA=0
    ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1' && CUDA=1
    command -v nvidia-smi >/dev/null && CUDA=1
    # A set for CUDA serves the CPU as well: not to be taken away for want of a driver.
    for pinned in scripts/libtorch-*-cuda.txt; do
        cmp -s "$pinned" .libtorch/installed && CUDA=1
    done
fi
[ "$CUDA" = 0 ] || set=cuda space=9
wanted=scripts/libtorch-${version%.*}-$set.txt
if ! cmp -s "$wanted" .libtorch/installed; then
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "python3 with pip is missing, which fetches libtorch: on Debian or Ubuntu: apt-get install python3-pip"
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge "$space" ] ||
        fail "libtorch ($set) needs $space GB of space while it is installed, but $(pwd) has $free GB: make room"

    echo "Installing libtorch $version ($set) into .libtorch ..."
    # Moved into place only when whole, so that neither a kill nor a lost network leaves a half.
    partial=$(pwd)/$(mktemp -d .libtorch.XXXXXX)
    trap 'rm -rf "$partial"' EXIT
    trap 'exit 130' INT TERM
    mkdir "$partial/tmp"
    flags=
    for platform in $platforms; do
        flags="$flags --platform ${platform}_x86_64"
    done
    # One wheel for every Python: only its libraries and headers are used. The small TMPDIRs that
    # some systems have would not hold the download.
    # shellcheck disable=SC2086
    TMPDIR=$partial/tmp python3 -m pip install --quiet --disable-pip-version-check \
        --root-user-action ignore --no-cache-dir --no-deps --only-binary :all: --require-hashes \
        --implementation cp --python-version 3.12 --abi cp312 --abi none $flags \
        --target "$partial" --requirement "$wanted" ||
        fail "pip could not install libtorch (its own words are above): check the network, and that pip is 22.1 or later"
    rm -rf "$partial/tmp" .libtorch
    cp "$wanted" "$partial/installed"
    chmod 755 "$partial"
    mv "$partial" .libtorch
fi
if [ "$tch" = "$locked" ]; then rm -f .libtorch/tch; else echo "$tch" >.libtorch/tch; fi
ready "$version" " ($set): .libtorch"
