. "$CASES/cc.sh"
lib far/liba.so
lib far/glibc-hwcaps/x86-64-v2/liba.so
prog app/m $musl ${runpath}"$ROOT/far" far/liba.so
