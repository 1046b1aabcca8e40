# Sourced by every case's build.sh, which runs in an empty directory, $ROOT. Objects have no libc:
# a case shows what its rule does and nothing else.
set -eu

# lib PATH [gcc argument...]: a shared object with its base name as soname.
lib() {
    out=$1
    shift
    mkdir -p "$(dirname "$out")"
    printf 'int f_%s(void) { return 1; }\n' "$(basename "$out" | tr -c 'a-zA-Z0-9\n' _)" |
        gcc -x c - -x none -o "$out" -shared -fPIC -nostdlib -Wl,--no-as-needed \
            -Wl,--allow-shlib-undefined -Wl,-soname,"$(basename "$out")" "$@"
}

# prog PATH [gcc argument...]: a program; libraries are given by their paths.
prog() {
    out=$1
    shift
    mkdir -p "$(dirname "$out")"
    printf 'void _start(void) {}\n' |
        gcc -x c - -x none -o "$out" -nostdlib -Wl,--no-as-needed -Wl,--allow-shlib-undefined "$@"
}

# loader: the machine's glibc loader as Occlum's, in $ROOT/occlum.
loader() {
    mkdir -p occlum
    cp -L /lib64/ld-linux-x86-64.so.2 occlum/
}

# poke FILE OFFSET OCTAL: overwrite one byte.
poke() {
    printf "\\$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

rpath=-Wl,--disable-new-dtags,-rpath,
runpath=-Wl,--enable-new-dtags,-rpath,
musl=-Wl,-dynamic-linker,/lib/ld-musl-x86_64.so.1
