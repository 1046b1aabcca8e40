. "$CASES/cc.sh"
lib libs/liba.so -Wl,-soname,libs/liba.so
prog app/m libs/liba.so
