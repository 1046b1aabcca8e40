. "$CASES/cc.sh"
lib far/liba.so
prog app/m $musl ${runpath}"$ROOT/far:"'$LIB' far/liba.so
