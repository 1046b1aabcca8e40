. "$CASES/cc.sh"
lib far/libreal.so
lib far/libaux.so -Wl,--auxiliary,libreal.so -Wl,--auxiliary,libgone.so ${runpath}'$ORIGIN'
prog app/m ${runpath}"$ROOT/far" far/libaux.so
