. "$CASES/cc.sh"
lib gone/libgone.so
lib far/liba.so gone/libgone.so
prog app/m ${rpath}"$ROOT/far" far/liba.so
rm -r gone
