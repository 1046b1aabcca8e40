. "$CASES/cc.sh"
lib far/libb.so
lib far/liba.so far/libb.so
prog app/m $musl ${runpath}"$ROOT/far" far/liba.so
