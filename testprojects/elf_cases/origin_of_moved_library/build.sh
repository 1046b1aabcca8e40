. "$CASES/cc.sh"
loader
lib deflib/sub/libb.so
lib deflib/liba.so deflib/sub/libb.so ${runpath}'$ORIGIN/sub'
prog app/m deflib/liba.so
