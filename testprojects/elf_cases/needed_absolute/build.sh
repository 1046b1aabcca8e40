. "$CASES/cc.sh"
lib far/liba.so -Wl,-soname,"$ROOT/far/liba.so"
prog app/m far/liba.so
