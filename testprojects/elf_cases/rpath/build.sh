. "$CASES/cc.sh"
lib far/liba.so
prog app/m ${rpath}"$ROOT/far" far/liba.so
