. "$CASES/cc.sh"
loader
lib deflib/liba.so
prog app/m deflib/liba.so
