. "$CASES/cc.sh"
lib one/liba.so
lib far/liba.so
prog app/m ${runpath}"$ROOT/one:$ROOT/far" far/liba.so
poke one/liba.so 4 001
