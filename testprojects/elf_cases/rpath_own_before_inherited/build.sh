. "$CASES/cc.sh"
lib one/libb.so
lib far/libb.so
lib far/liba.so far/libb.so ${rpath}"$ROOT/one"
prog app/m ${rpath}"$ROOT/far" far/liba.so
