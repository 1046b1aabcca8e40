. "$CASES/cc.sh"
lib far/libfilter.so -Wl,--filter,libgone.so -Wl,--auxiliary,libgone.so
prog app/m $musl ${runpath}"$ROOT/far" far/libfilter.so
