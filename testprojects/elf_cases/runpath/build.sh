. "$CASES/cc.sh"
lib far/liba.so
prog app/m ${runpath}"$ROOT/far" far/liba.so
