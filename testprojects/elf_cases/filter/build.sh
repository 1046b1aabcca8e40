. "$CASES/cc.sh"
lib far/libreal.so
lib far/libfilter.so -Wl,--filter,libreal.so ${runpath}'$ORIGIN'
prog app/m ${runpath}"$ROOT/far" far/libfilter.so
