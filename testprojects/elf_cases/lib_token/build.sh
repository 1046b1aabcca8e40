. "$CASES/cc.sh"
lib far/lib/x86_64-linux-gnu/liba.so
prog app/m ${runpath}"$ROOT"'/far/$LIB' far/lib/x86_64-linux-gnu/liba.so
