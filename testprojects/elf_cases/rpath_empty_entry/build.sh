. "$CASES/cc.sh"
lib far/liba.so
prog app/m ${runpath}"$ROOT/none::$ROOT/far" far/liba.so
