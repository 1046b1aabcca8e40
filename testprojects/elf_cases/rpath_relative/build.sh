. "$CASES/cc.sh"
lib libs/liba.so
prog app/m ${rpath}libs libs/liba.so
