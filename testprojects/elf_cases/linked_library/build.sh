. "$CASES/cc.sh"
lib far/liba.so.1.2 -Wl,-soname,liba.so.1
ln -s liba.so.1.2 far/liba.so.1
prog app/m ${rpath}"$ROOT/far" far/liba.so.1.2
