. "$CASES/cc.sh"
lib far/libb.so
lib far/liba.so far/libb.so ${runpath}"$ROOT/none"
prog app/m ${rpath}"$ROOT/far" far/liba.so
