. "$CASES/cc.sh"
lib far/liba.so -Wl,-soname,liba.so.1
ln -s liba.so far/liba.so.1
lib far/libb.so
cp far/liba.so keep
prog app/m ${rpath}"$ROOT/far" far/liba.so far/libb.so
ln -sf liba.so.1 far/libb.so
