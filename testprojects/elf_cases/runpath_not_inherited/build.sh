. "$CASES/cc.sh"
lib far/libb.so
lib far/liba.so far/libb.so
prog app/m ${runpath}"$ROOT/far" far/liba.so
