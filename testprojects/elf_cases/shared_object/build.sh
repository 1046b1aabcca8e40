. "$CASES/cc.sh"
loader
lib deflib/liba.so
lib app/m deflib/liba.so
