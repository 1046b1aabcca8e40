. "$CASES/cc.sh"
loader
lib deflib/liba.so
lib deflib/glibc-hwcaps/x86-64-v2/liba.so
prog app/m deflib/liba.so
