. "$CASES/cc.sh"
echo "ONE {f_liba_so;}; TWO {g_liba_so;};" > new.map
echo "ONE {f_liba_so;};" > old.map
build() { echo "int f_liba_so(void) { return 1; } int g_liba_so(void) { return 2; }" | gcc -x c - -x none -o far/liba.so -shared -fPIC -nostdlib -Wl,-soname,liba.so -Wl,--version-script="$1"; }
mkdir -p far app
build new.map
echo "int g_liba_so(void); void _start(void) { g_liba_so(); }" | gcc -x c - -x none -o app/m -nostdlib ${rpath}"$ROOT/far" far/liba.so
build old.map
