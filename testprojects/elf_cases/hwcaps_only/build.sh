. "$CASES/cc.sh"
lib far/glibc-hwcaps/x86-64-v2/liba.so
prog app/m ${runpath}"$ROOT/far" far/glibc-hwcaps/x86-64-v2/liba.so
