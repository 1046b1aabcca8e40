. "$CASES/cc.sh"
loader
lib mine/libgone.so
lib far/liba.so
prog app/m ${rpath}"$ROOT/far" mine/libgone.so far/liba.so
