. "$CASES/cc.sh"
lib far/libreal.so
lib far/libfilter.so -Wl,--filter,libgone.so
prog app/m ${runpath}"$ROOT/far" far/libfilter.so
