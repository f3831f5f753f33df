#!/bin/sh
# Uses what scripts/dist.py has made as someone would who has nothing else: `test_dist.sh tar` in an empty
# root, with the system's libc and libstdc++ alone and a bare environment; `test_dist.sh wheel` in fresh
# virtual environments.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An empty root that has the system's libraries and the tarball $1, unpacked to /app.
root() {
    mkdir -p "$work/$1/app" "$work/$1/tmp" "$work/$1/home" "$work/$1/proc" # by which the loader finds its place
    for library in /lib64/ld-linux-x86-64.so.2 $(ldconfig -p | sed -n \
        's/.*lib\(c\|m\|dl\|rt\|util\|pthread\|stdc++\|gcc_s\)\.so\.[0-9]* .*x86-64.* => //p'); do
        mkdir -p "$work/$1$(dirname "$library")"
        cp -L "$library" "$work/$1$library"
    done
    tar -xzf "dist/$1"-[0-9]*.tar.gz -C "$work/$1/app" --strip-components 1
    cp docs/examples/pencil.png tests/sheets/ruled_1.jpg "$work/$1/home"
}

# Runs in that root.
inside() {
    name=$1
    shift
    echo "\$ $*"
    env -i HOME=/home unshare --map-root-user --mount --pid --fork \
        --root="$work/$name" --wd=/home --mount-proc "$@"
}

case ${1:-} in
tar)
    root mnist
    inside mnist /app/bin/mnist train --epochs 1 --hidden 64
    inside mnist /app/bin/mnist predict pencil.png
    inside mnist /app/bin/mnist read ruled_1.jpg
    root mnist-lite
    inside mnist-lite /app/mnist predict pencil.png
    inside mnist-lite /app/mnist read ruled_1.jpg
    inside mnist-lite /app/mnist train && exit 1 # it has to say why not
    ;;
wheel)
    # Of torch's wheel, its libraries that are here already stand in, so that nothing is fetched.
    libtorch=$(readlink -f "${LIBTORCH:-.libtorch/torch}")
    for name in mnist_lite tch_mnist; do
        python3 -m venv "$work/$name"
        "$work/$name/bin/pip" install --quiet --no-index --no-deps dist/"$name"-*.whl
        cd "$work"
        if [ "$name" = tch_mnist ]; then
            for part in torch nvidia; do
                ln -s "$(dirname "$libtorch")/$part" "$work/$name"/lib/python3.*/site-packages/
            done
            env -i HOME="$work" "$work/$name/bin/mnist" train --epochs 1 --hidden 64
        fi
        env -i HOME="$work" "$work/$name/bin/mnist" predict "$here/docs/examples/pencil.png"
        env -i HOME="$work" "$work/$name/bin/mnist" read "$here/tests/sheets/ruled_1.jpg"
        cd "$here"
    done
    ;;
*)
    sed -n '2,4s/^# //p' "$0"
    exit 2
    ;;
esac
echo "All as it should be."
