. "$CASES/cc.sh"
loader
lib far/liba.so
lib deflib/liba.so
prog app/m ${runpath}"$ROOT/far" far/liba.so
