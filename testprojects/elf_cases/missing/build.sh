. "$CASES/cc.sh"
lib gone/libgone.so
lib far/liba.so
prog app/m ${rpath}"$ROOT/far" gone/libgone.so far/liba.so
rm -r gone
